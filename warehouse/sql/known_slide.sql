SELECT slide_id FROM known_file WHERE fingerprint = $fingerprint
