-- The shown analyses of a run are one part of the Parquet files; its name says all that its rows depend on.
SELECT run_id, list(slide_id) AS slide_ids, list(result_key) AS result_keys,
    sha256($basis || string_agg(
        concat_ws('|', result_key, slide_id, coalesce(patient_id, '-'), coalesce(specimen, '-'), model_digest, taxonomy_digest),
        ';' ORDER BY result_key))[:24] AS name
FROM published_result WHERE shown GROUP BY run_id ORDER BY run_id
