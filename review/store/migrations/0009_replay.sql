-- How far a stack differs from itself: what it answers in a replay, against what it had answered in the log.
CREATE TABLE replay_noise (
    trace_id           VARCHAR NOT NULL,
    stack              VARCHAR NOT NULL,
    identical          BOOLEAN NOT NULL,   -- same text after whitespace, same tool calls
    structured_differs BOOLEAN NOT NULL,   -- tool calls or JSON fields differ in value
    PRIMARY KEY (trace_id, stack)
);
