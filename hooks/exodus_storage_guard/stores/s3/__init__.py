"""Objects in a bucket of an S3 server: a store or an archive. Never imported where no `s3://` is configured."""
