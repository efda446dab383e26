-- Instants are microseconds since 1970 in UTC; keys are bytes, as stores have them. All of it is in a schema of our own.
CREATE TABLE settled (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE objects (
  key BYTEA PRIMARY KEY,
  bytes BIGINT NOT NULL,
  etag TEXT NOT NULL,
  modified_at BIGINT NOT NULL,
  state TEXT NOT NULL,
  since BIGINT NOT NULL,
  found_at BIGINT NOT NULL,
  sha256 TEXT,
  copy BYTEA,
  held INTEGER NOT NULL DEFAULT 0,
  owner TEXT,
  failures INTEGER NOT NULL DEFAULT 0,
  retry_at BIGINT,
  note TEXT NOT NULL DEFAULT '',
  recorded_at BIGINT,
  recorded_sha256 TEXT,
  aged_at BIGINT GENERATED ALWAYS AS (coalesce(recorded_at, modified_at)) STORED
);
CREATE INDEX candidates ON objects (aged_at, key)
  WHERE state IN ('resident', 'premigrated', 'failed', 'quarantined');
CREATE INDEX premigrated ON objects (aged_at, key) WHERE state = 'premigrated';
CREATE INDEX at_work ON objects (state, key) WHERE state IN ('copying', 'releasing', 'recalling');
CREATE INDEX archived ON objects (state, key) WHERE state IN ('archived', 'lost', 'premigrated');

-- How many there are of what, without counting a million rows.
CREATE TABLE totals (state TEXT PRIMARY KEY, count BIGINT NOT NULL, bytes BIGINT NOT NULL);
CREATE FUNCTION count_objects() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO totals AS t
    SELECT state, sum(count), sum(bytes) FROM (
      SELECT state, count(*) AS count, sum(bytes) AS bytes FROM added GROUP BY state) AS found GROUP BY state
    ON CONFLICT (state) DO UPDATE SET count = t.count + excluded.count, bytes = t.bytes + excluded.bytes;
  RETURN NULL;
END $$;
CREATE FUNCTION recount_objects() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO totals AS t
    SELECT state, sum(count), sum(bytes) FROM (
      SELECT state, count(*) AS count, sum(bytes) AS bytes FROM added GROUP BY state
      UNION ALL SELECT state, -count(*), -sum(bytes) FROM removed GROUP BY state) AS found
    GROUP BY state HAVING sum(count) <> 0 OR sum(bytes) <> 0
    ON CONFLICT (state) DO UPDATE SET count = t.count + excluded.count, bytes = t.bytes + excluded.bytes;
  RETURN NULL;
END $$;
CREATE TRIGGER object_added AFTER INSERT ON objects REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION count_objects();
CREATE TRIGGER object_moved AFTER UPDATE ON objects REFERENCING OLD TABLE AS removed NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION recount_objects();

CREATE TABLE history (
  id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at BIGINT NOT NULL,
  key BYTEA NOT NULL,
  event TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 TEXT,
  reason TEXT NOT NULL
);
CREATE INDEX history_of ON history (key, id);

CREATE TABLE reservations (
  id TEXT PRIMARY KEY,
  key BYTEA,
  bytes BIGINT NOT NULL,
  charged_bytes BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  owner TEXT,
  committed_at BIGINT
);

-- Uploads that are on their way, and what became of the others until a measurement has seen it: a budget, hours later.
CREATE INDEX uploading ON reservations (id) WHERE committed_at IS NULL;
CREATE INDEX landed ON reservations (committed_at, key, bytes) WHERE committed_at IS NOT NULL;

CREATE TABLE samples (
  at BIGINT PRIMARY KEY,
  source TEXT NOT NULL,
  total_bytes BIGINT NOT NULL,
  used_bytes BIGINT NOT NULL,
  free_bytes BIGINT NOT NULL,
  free_files BIGINT
);

-- When a run was last heard of: one that is silent for long has died, wherever it ran.
CREATE TABLE runs (owner TEXT PRIMARY KEY, beat_at BIGINT NOT NULL);
CREATE TABLE schema_version (version INTEGER NOT NULL);
