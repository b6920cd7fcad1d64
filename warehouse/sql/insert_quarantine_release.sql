INSERT INTO quarantine_release VALUES ($slide_id, $released_at)
