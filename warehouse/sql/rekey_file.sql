UPDATE known_file SET fingerprint = s.after FROM staging AS s WHERE fingerprint = s.before
