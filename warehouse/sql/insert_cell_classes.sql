INSERT INTO dim_cell_class BY NAME
SELECT
    $taxonomy_digest AS taxonomy_digest, $taxonomy_name AS taxonomy_name, $taxonomy_version AS taxonomy_version, *
FROM staging
ON CONFLICT DO NOTHING
