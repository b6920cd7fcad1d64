DROP TABLE known_file;
DROP TABLE quarantine_release;
DROP TABLE writer_fence;
