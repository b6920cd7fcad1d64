SELECT DISTINCT regexp_extract(settings, '"key_id": "([0-9a-f]+)"', 1) AS key_id
FROM dim_run WHERE contains(settings, '"key_id"')
