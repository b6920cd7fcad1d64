SELECT * REPLACE (NULL::VARCHAR AS settings) FROM dim_run WHERE rowid >= $first
