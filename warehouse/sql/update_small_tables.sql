-- Small tables of the analysts' file brought to what the warehouse says now: rows that it does not say any more go, rows that
-- are new come, and the others, which are nearly all, are not touched. A row is compared as a whole.

DELETE FROM dim_patient WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_patient AS told FROM dim_patient)
    ANTI JOIN (SELECT now_dim_patient AS told FROM now_dim_patient) USING (told)
);
INSERT INTO dim_patient SELECT * FROM (FROM now_dim_patient EXCEPT FROM dim_patient) ORDER BY ALL;

DELETE FROM fact_laboratory WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, fact_laboratory AS told FROM fact_laboratory)
    ANTI JOIN (SELECT now_fact_laboratory AS told FROM now_fact_laboratory) USING (told)
);
INSERT INTO fact_laboratory SELECT * FROM (FROM now_fact_laboratory EXCEPT FROM fact_laboratory) ORDER BY ALL;

DELETE FROM dim_slide WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_slide AS told FROM dim_slide)
    ANTI JOIN (SELECT now_dim_slide AS told FROM now_dim_slide) USING (told)
);
INSERT INTO dim_slide SELECT * FROM (FROM now_dim_slide EXCEPT FROM dim_slide) ORDER BY ALL;

DELETE FROM dim_model WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_model AS told FROM dim_model)
    ANTI JOIN (SELECT now_dim_model AS told FROM now_dim_model) USING (told)
);
INSERT INTO dim_model SELECT * FROM (FROM now_dim_model EXCEPT FROM dim_model) ORDER BY ALL;

DELETE FROM dim_cell_class WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_cell_class AS told FROM dim_cell_class)
    ANTI JOIN (SELECT now_dim_cell_class AS told FROM now_dim_cell_class) USING (told)
);
INSERT INTO dim_cell_class SELECT * FROM (FROM now_dim_cell_class EXCEPT FROM dim_cell_class) ORDER BY ALL;

DELETE FROM dim_attribute_value WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_attribute_value AS told FROM dim_attribute_value)
    ANTI JOIN (SELECT now_dim_attribute_value AS told FROM now_dim_attribute_value) USING (told)
);
INSERT INTO dim_attribute_value SELECT * FROM (FROM now_dim_attribute_value EXCEPT FROM dim_attribute_value) ORDER BY ALL;

DELETE FROM dim_run WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, dim_run AS told FROM dim_run)
    ANTI JOIN (SELECT now_dim_run AS told FROM now_dim_run) USING (told)
);
INSERT INTO dim_run SELECT * FROM (FROM now_dim_run EXCEPT FROM dim_run) ORDER BY ALL;

DELETE FROM fact_analysis WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, fact_analysis AS told FROM fact_analysis)
    ANTI JOIN (SELECT now_fact_analysis AS told FROM now_fact_analysis) USING (told)
);
INSERT INTO fact_analysis SELECT * FROM (FROM now_fact_analysis EXCEPT FROM fact_analysis) ORDER BY ALL;

DELETE FROM fact_patient_diagnosis WHERE rowid IN (
    SELECT rowid FROM (SELECT rowid, fact_patient_diagnosis AS told FROM fact_patient_diagnosis)
    ANTI JOIN (SELECT now_fact_patient_diagnosis AS told FROM now_fact_patient_diagnosis) USING (told)
);
INSERT INTO fact_patient_diagnosis SELECT * FROM (FROM now_fact_patient_diagnosis EXCEPT FROM fact_patient_diagnosis) ORDER BY ALL;
