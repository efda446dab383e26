-- What a copy and its manifest looked like when they were proven: a release sees whether they still do.
ALTER TABLE objects ADD COLUMN copy_mark TEXT;
CREATE INDEX taken ON objects (key) WHERE owner IS NOT NULL;

-- Every copy that was proven and not lost or forgotten since, older ones too: an object has its newest one in its row.
-- BYTEA and BIGINT are PostgreSQL's words; SQLite takes them, and keeps bytes and integers as they are.
CREATE TABLE copies (
  name BYTEA PRIMARY KEY,
  key BYTEA NOT NULL,
  bytes BIGINT NOT NULL,
  etag TEXT NOT NULL,
  modified_at BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  archived_at BIGINT NOT NULL,
  mark TEXT
);
CREATE INDEX copies_of ON copies (key, archived_at, name);
INSERT INTO copies (name, key, bytes, etag, modified_at, sha256, archived_at)
  SELECT copy, key, bytes, etag, modified_at, sha256, since FROM objects
  WHERE copy IS NOT NULL AND sha256 IS NOT NULL AND state IN ('premigrated', 'releasing', 'archived', 'recalling')
  ON CONFLICT (name) DO NOTHING;
