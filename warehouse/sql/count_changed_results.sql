SELECT
    (SELECT count(*) FROM result_changed) AS changed,
    (SELECT count(*) FROM published_result) AS published,
    (SELECT count(*) FROM published_result ANTI JOIN result_now USING (result_key)) AS gone,
    (SELECT coalesce(sum(cells), 0) FROM published_result)::BIGINT AS told
