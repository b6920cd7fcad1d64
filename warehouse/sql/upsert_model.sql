INSERT INTO dim_model (
    digest, name, version, detector_digest, classifier_digest, labels, taxonomy_name, taxonomy_version, taxonomy_digest,
    licence
)
VALUES (
    $digest, $name, $version, $detector_digest, $classifier_digest, $labels, $taxonomy_name, $taxonomy_version,
    $taxonomy_digest, $licence
)
ON CONFLICT DO UPDATE SET
    taxonomy_name = excluded.taxonomy_name,
    taxonomy_version = excluded.taxonomy_version,
    taxonomy_digest = excluded.taxonomy_digest,
    licence = excluded.licence
