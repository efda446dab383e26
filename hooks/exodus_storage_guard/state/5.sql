-- Who uploads by way of a platform, where that is anybody: all of his uploads together have a share of the room.
ALTER TABLE reservations ADD COLUMN client TEXT;
