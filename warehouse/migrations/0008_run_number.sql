-- The order of runs, which no clock can turn round: a clock set back makes a later run begin "before" an earlier one.

ALTER TABLE dim_run ADD COLUMN run_number BIGINT;
UPDATE dim_run SET run_number = numbered.run_number
FROM (SELECT run_id, row_number() OVER (ORDER BY started_at, run_id) AS run_number FROM dim_run) AS numbered
WHERE dim_run.run_id = numbered.run_id;
COMMENT ON COLUMN dim_run.run_number IS 'Order in which the runs began: 1, 2, 3, ... whatever the clock said.';
