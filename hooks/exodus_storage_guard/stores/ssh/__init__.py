"""Objects as files of a folder behind ssh: an archive. Never a program over there but what every Unix has."""
