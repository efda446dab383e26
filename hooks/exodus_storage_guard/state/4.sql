-- Whose a reservation is: the number of the user who asked, in digits, for uids are larger than PostgreSQL's INTEGER.
ALTER TABLE reservations ADD COLUMN uid TEXT;

-- Rows that cannot be, which a sum hides: whoever counts what there is sees at once that there are none.
CREATE INDEX impossible ON objects (bytes) WHERE bytes < 0;
