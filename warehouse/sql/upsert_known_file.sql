INSERT INTO known_file VALUES ($fingerprint, $slide_id, $seen_at)
ON CONFLICT DO UPDATE SET slide_id = excluded.slide_id
