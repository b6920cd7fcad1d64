-- Local placeholder.
SELECT 1;
