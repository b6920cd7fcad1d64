-- Who writes. Every opening for writing takes the next number; whoever holds an earlier one may not commit any more.

CREATE TABLE writer_fence (
    token BIGINT NOT NULL CHECK (token >= 0),
    raised_at TIMESTAMP
);
COMMENT ON TABLE writer_fence IS 'One row: the number of the present writer, the same as in the file beside the warehouse. Not published.';
COMMENT ON COLUMN writer_fence.token IS 'Of the last writer that changed something; 0 before the first. Every opening for writing takes a higher one.';
COMMENT ON COLUMN writer_fence.raised_at IS 'When that writer first changed something (UTC).';
INSERT INTO writer_fence VALUES (0, NULL);
