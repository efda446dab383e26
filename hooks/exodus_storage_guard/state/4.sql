-- Whose a reservation is: the number of the user who asked, in digits, for uids are larger than PostgreSQL's INTEGER.
ALTER TABLE reservations ADD COLUMN uid TEXT;
