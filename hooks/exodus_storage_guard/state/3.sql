-- What a copy and its manifest looked like when they were proven: a release sees whether they still do.
ALTER TABLE objects ADD COLUMN copy_mark TEXT;
