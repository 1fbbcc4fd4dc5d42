-- Rounds: what was drawn and why, who may label which place now, and what has been answered.

-- One seeded draw. Everything needed to repeat it, and the frame it was drawn from.
CREATE TABLE round (
    round_id      VARCHAR PRIMARY KEY,
    number        INTEGER NOT NULL UNIQUE,
    name          VARCHAR,
    seed          UBIGINT NOT NULL,
    size          INTEGER NOT NULL,                -- asked for; the slots say what was drawn
    overlap       INTEGER NOT NULL,
    overlap_share DOUBLE,
    repeat_share  DOUBLE NOT NULL,                 -- of a reviewer's pairs that come back, sides swapped
    stratified_by VARCHAR NOT NULL,
    audit         DOUBLE NOT NULL,                 -- share drawn from the judged ties
    source        VARCHAR,
    imported_from TIMESTAMPTZ,
    imported_to   TIMESTAMPTZ,
    frame_hash    VARCHAR NOT NULL,
    identical     INTEGER NOT NULL,                -- the frame's counts by kind
    judged_tie    INTEGER NOT NULL,
    disagreement  INTEGER NOT NULL,
    notes         VARCHAR[] NOT NULL,
    drawn_by      VARCHAR NOT NULL,
    drawn_at      TIMESTAMPTZ NOT NULL
);

CREATE TABLE stratum (
    round_id VARCHAR NOT NULL,
    stratum  VARCHAR NOT NULL,
    kind     VARCHAR NOT NULL CHECK (kind IN ('judged_tie', 'disagreement')),
    tasks    VARCHAR[] NOT NULL,                   -- several where small ones were merged
    frame    INTEGER NOT NULL,
    drawn    INTEGER NOT NULL,
    PRIMARY KEY (round_id, stratum)
);

-- A drawn pair. `places` is how many different reviewers it asks for.
CREATE TABLE slot (
    round_id VARCHAR NOT NULL,
    pair_id  VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    stratum  VARCHAR NOT NULL,
    pi       DOUBLE NOT NULL CHECK (pi > 0 AND pi <= 1),   -- inclusion probability
    places   INTEGER NOT NULL CHECK (places >= 1),
    PRIMARY KEY (round_id, pair_id)
);

-- A lead ends a round that nobody can finish, for instance because everybody skipped what is left.
CREATE TABLE round_end (
    round_id VARCHAR PRIMARY KEY,
    ended_by VARCHAR NOT NULL,
    ended_at TIMESTAMPTZ NOT NULL
);

-- One showing of one pair to one reviewer; the id is all the browser gets.
CREATE TABLE card (
    card_id     VARCHAR PRIMARY KEY,
    round_id    VARCHAR NOT NULL,
    pair_id     VARCHAR NOT NULL,
    reviewer    VARCHAR NOT NULL,
    occurrence  INTEGER NOT NULL,
    shown_first VARCHAR NOT NULL CHECK (shown_first IN ('old', 'new')),
    issued      INTEGER NOT NULL,                  -- order within the reviewer's round
    issued_at   TIMESTAMPTZ NOT NULL,
    UNIQUE (round_id, pair_id, reviewer, occurrence)
);

-- Who holds a place. The key admits one holder a generation; expiry or release lets generation + 1 in.
CREATE TABLE lease (
    round_id   VARCHAR NOT NULL,
    pair_id    VARCHAR NOT NULL,
    place      INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    reviewer   VARCHAR NOT NULL,
    leased_at  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (round_id, pair_id, place, generation)
);

CREATE TABLE lease_end (
    round_id   VARCHAR NOT NULL,
    pair_id    VARCHAR NOT NULL,
    place      INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    ended_at   TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (round_id, pair_id, place, generation)
);

-- When a reviewer had a card in sight; the lease's half hour counts from the last one.
CREATE TABLE showing (
    round_id VARCHAR NOT NULL,
    pair_id  VARCHAR NOT NULL,
    reviewer VARCHAR NOT NULL,
    shown_at TIMESTAMPTZ NOT NULL
);

-- A place is filled once, and by k different reviewers: both are keys.
CREATE TABLE completion (
    round_id VARCHAR NOT NULL,
    pair_id  VARCHAR NOT NULL,
    place    INTEGER NOT NULL,
    reviewer VARCHAR NOT NULL,
    PRIMARY KEY (round_id, pair_id, place),
    UNIQUE (round_id, pair_id, reviewer)
);

-- Where a reviewer stands with a card: the row of `label` that counts now, and what became of it.
CREATE TABLE answer (
    round_id    VARCHAR NOT NULL,
    pair_id     VARCHAR NOT NULL,
    reviewer    VARCHAR NOT NULL,
    occurrence  INTEGER NOT NULL,
    outcome     VARCHAR NOT NULL CHECK (outcome IN ('placed', 'surplus', 'repeat', 'skip')),
    label_id    VARCHAR NOT NULL,
    answered_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (round_id, pair_id, reviewer, occurrence)
);

-- One adjudication a pair and round.
CREATE TABLE adjudication (
    round_id VARCHAR NOT NULL,
    pair_id  VARCHAR NOT NULL,
    label_id VARCHAR NOT NULL,
    PRIMARY KEY (round_id, pair_id)
);
