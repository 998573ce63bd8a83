//! Where the two do not agree: who takes what the other refuses, and which of them is wrong, by which clause.

/// Who of the two takes a request that the other refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    ByUsAlone,
    ByThemAlone,
}

/// How another server differs.
#[derive(Debug)]
pub(super) struct Opinions {
    /// What makes the two disagree, who takes it, and why that is right or wrong.
    pub(super) differences: &'static [(&'static str, Taken, &'static str)],
    /// What both refuse and call by another name, and why.
    pub(super) other_names: &'static [(&'static str, &'static str)],
}

/// `express-oauth2-jwt-bearer` of npm.
pub(super) const EXPRESS: Opinions = Opinions {
    differences: &[
        (
            "two spaces before the token",
            Taken::ByUsAlone,
            "they are wrong: credentials = scheme 1*SP token68 (RFC 9449 section 7.1, RFC 9110 section 11.4)",
        ),
        (
            "the token twice",
            Taken::ByThemAlone,
            "they are wrong: Authorization is no list, and node keeps the first of two (RFC 9110 section 5.3); nobody can tell which one somebody in front has looked at",
        ),
        (
            "sent twice",
            Taken::ByThemAlone,
            "they leave it to their user: that a proof is used once has to be seen to (RFC 9449 sections 4.3 and 11.1)",
        ),
        (
            "token: iat ahead",
            Taken::ByThemAlone,
            "both may: iat tells a token's age (RFC 7519 section 4.1.6), and that of one from the future is wrong",
        ),
        (
            "token: a key beside jkt",
            Taken::ByThemAlone,
            "both may: cnf should name one key (RFC 7800 section 3.1), and of two nobody can say which of them is meant",
        ),
        (
            "token: a certificate beside jkt",
            Taken::ByThemAlone,
            "they are wrong: the token is bound to a certificate too, which nobody has shown (RFC 8705 section 3)",
        ),
        (
            "proof: typ in capitals",
            Taken::ByThemAlone,
            "both may: media types are compared without case (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
        ),
        (
            "proof: typ application/dpop+jwt",
            Taken::ByThemAlone,
            "both may: the prefix may be left out and need not be (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
        ),
        (
            "proof: htm in small letters",
            Taken::ByThemAlone,
            "they are wrong: methods are compared with case (RFC 9110 section 9.1), and htm has to be the method (RFC 9449 section 4.3 check 8)",
        ),
        (
            "proof: htu with a user",
            Taken::ByThemAlone,
            "they are wrong: query and fragment are ignored and nothing else (RFC 9449 section 4.3 check 9); an http URI with a user in it is to be treated as an error (RFC 9110 section 4.2.4)",
        ),
        (
            "proof: jti a number",
            Taken::ByThemAlone,
            "they are wrong: jti is a string (RFC 7519 section 4.1.7), and whoever remembers it has to compare it",
        ),
    ],
    other_names: &[(
        "bearer",
        "a bound token that is sent as a bearer token is no good for that: invalid_token (RFC 6750 section 3.1, RFC 9449 section 7.2); they say that the request is malformed",
    )],
};

/// `huskarl-resource-server` of crates.io.
pub(super) const HUSKARL: Opinions = Opinions {
    differences: &[
        (
            "htu with a query",
            Taken::ByUsAlone,
            "they are wrong: query and fragment are ignored (RFC 9449 section 4.3 check 9), although no client should send them (section 4.2)",
        ),
        (
            "htu with a fragment",
            Taken::ByUsAlone,
            "they are wrong: query and fragment are ignored (RFC 9449 section 4.3 check 9), although no client should send them (section 4.2)",
        ),
        ("token: no jti", Taken::ByThemAlone, "they are wrong: jti is required (RFC 9068 section 2.2)"),
        (
            "token: a key beside jkt",
            Taken::ByThemAlone,
            "both may: cnf should name one key (RFC 7800 section 3.1), and of two nobody can say which of them is meant",
        ),
        (
            "the token in the query too",
            Taken::ByThemAlone,
            "they leave the query to their user: a client must not send a token in two ways (RFC 6750 section 2)",
        ),
        (
            "proof: typ in capitals",
            Taken::ByThemAlone,
            "both may: media types are compared without case (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
        ),
        (
            "proof: typ application/dpop+jwt",
            Taken::ByThemAlone,
            "both may: the prefix may be left out and need not be (RFC 7515 section 4.1.9), and check 4 names the value dpop+jwt (RFC 9449 section 4.3)",
        ),
        (
            "proof: jti empty",
            Taken::ByThemAlone,
            "they are wrong: jti identifies the proof (RFC 9449 section 4.2), and an empty one is that of many",
        ),
    ],
    other_names: &[
        (
            "no proof",
            "a proof that is missing is invalid_dpop_proof here; they say that the request is malformed (RFC 9449 section 7.1 leaves it open)",
        ),
        (
            "the proof twice",
            "that there is one is check 1 of RFC 9449 section 4.3: invalid_dpop_proof; they say that the request is malformed",
        ),
        (
            "proof: of a thief",
            "the token is no good for whoever sends it: invalid_token; they count the key as check 12 of RFC 9449 section 4.3, so as the proof's fault",
        ),
        (
            "token: jkt of another key",
            "the token is no good for whoever sends it: invalid_token; they count the key as check 12 of RFC 9449 section 4.3, so as the proof's fault",
        ),
    ],
};
