-- Instants are microseconds since 1970 in UTC; keys are bytes, as stores have them.
CREATE TABLE settled (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE objects (
  key BLOB PRIMARY KEY,
  bytes INTEGER NOT NULL,
  etag TEXT NOT NULL,
  modified_at INTEGER NOT NULL,
  state TEXT NOT NULL,
  since INTEGER NOT NULL,
  found_at INTEGER NOT NULL,
  sha256 TEXT,
  copy BLOB,
  held INTEGER NOT NULL DEFAULT 0,
  owner TEXT,
  failures INTEGER NOT NULL DEFAULT 0,
  retry_at INTEGER,
  note TEXT NOT NULL DEFAULT '',
  recorded_at INTEGER,
  recorded_sha256 TEXT,
  aged_at INTEGER GENERATED ALWAYS AS (coalesce(recorded_at, modified_at)) STORED
) STRICT, WITHOUT ROWID;
CREATE INDEX candidates ON objects (aged_at, key)
  WHERE state IN ('resident', 'premigrated', 'failed', 'quarantined');
CREATE INDEX premigrated ON objects (aged_at, key) WHERE state = 'premigrated';
CREATE INDEX at_work ON objects (state, key) WHERE state IN ('copying', 'releasing', 'recalling');

-- How many there are of what, without counting a million rows.
CREATE TABLE totals (state TEXT PRIMARY KEY, count INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TRIGGER object_added AFTER INSERT ON objects BEGIN
  INSERT INTO totals VALUES (new.state, 1, new.bytes)
    ON CONFLICT (state) DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER object_moved AFTER UPDATE OF state, bytes ON objects
WHEN old.state <> new.state OR old.bytes <> new.bytes BEGIN
  UPDATE totals SET count = count - 1, bytes = bytes - old.bytes WHERE state = old.state;
  INSERT INTO totals VALUES (new.state, 1, new.bytes)
    ON CONFLICT (state) DO UPDATE SET count = count + 1, bytes = bytes + excluded.bytes;
END;

CREATE TABLE history (
  id INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  key BLOB NOT NULL,
  event TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  sha256 TEXT,
  reason TEXT NOT NULL
) STRICT;
CREATE INDEX history_of ON history (key, id);

CREATE TABLE reservations (
  id TEXT PRIMARY KEY,
  key BLOB,
  bytes INTEGER NOT NULL,
  charged_bytes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  owner TEXT,
  committed_at INTEGER
) STRICT, WITHOUT ROWID;

-- Uploads that are on their way, and what became of the others until a measurement has seen it: a budget, hours later.
CREATE INDEX uploading ON reservations (id) WHERE committed_at IS NULL;
CREATE INDEX landed ON reservations (committed_at, key, bytes) WHERE committed_at IS NOT NULL;

CREATE TABLE samples (
  at INTEGER PRIMARY KEY,
  source TEXT NOT NULL,
  total_bytes INTEGER NOT NULL,
  used_bytes INTEGER NOT NULL,
  free_bytes INTEGER NOT NULL,
  free_files INTEGER
) STRICT;
-- When a run was last heard of: one that is silent for long has died, wherever it ran.
CREATE TABLE runs (owner TEXT PRIMARY KEY, beat_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
