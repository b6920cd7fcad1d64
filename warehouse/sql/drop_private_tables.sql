DROP TABLE known_file;
DROP TABLE quarantine_release;
