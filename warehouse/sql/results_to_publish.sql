-- As what each analysis has to be published now.
CREATE OR REPLACE TEMP TABLE result_now AS
SELECT
    a.result_key, a.slide_id, s.patient_id, s.specimen, a.model_digest, m.taxonomy_digest, a.run_id, a.cells,
    coalesce(a.is_current AND s.state <> 'quarantined', false) AS shown
FROM fact_analysis AS a
LEFT JOIN slides AS s USING (slide_id)
LEFT JOIN dim_model AS m ON m.digest = a.model_digest;
-- Analyses that were published as something else.
CREATE OR REPLACE TEMP TABLE result_changed AS
SELECT * FROM (FROM result_now EXCEPT FROM published_result) SEMI JOIN published_result USING (result_key)
