-- Where the rows of the present transaction will begin. Rows are only ever added, so their numbers only ever rise, and
-- a statement that says from where it reads is as fast after ten years as in the first night.
SELECT
    (SELECT count(*) FROM fact_cell) AS first_cell,
    (SELECT count(*) FROM fact_field) AS first_field,
    (SELECT count(*) FROM fact_cell_attribute) AS first_attribute
