//! Which requests, and whose.

use std::str::FromStr;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A good token and a fresh proof.
    Good,
    /// A proof that was used before.
    Replay,
    /// A proof whose signature does not verify.
    BadProof,
    /// A well-signed proof for another URI.
    WrongClaims,
    /// A token whose signature does not verify.
    BadToken,
    /// Neither token nor proof.
    NoToken,
}

impl Kind {
    const ALL: [(&str, Self); 6] = [
        ("good", Self::Good),
        ("replay", Self::Replay),
        ("bad-proof", Self::BadProof),
        ("wrong-claims", Self::WrongClaims),
        ("bad-token", Self::BadToken),
        ("no-token", Self::NoToken),
    ];

    /// Whether this answer is the one that such a request deserves.
    pub(crate) fn deserves(self, status: u16) -> bool {
        match self {
            Self::Good => status == 200,
            Self::Replay | Self::BadProof | Self::WrongClaims | Self::BadToken | Self::NoToken => {
                status == 401
            }
        }
    }
}

/// Kinds by weight.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix(Vec<(Kind, f64)>);

impl Mix {
    /// The share of requests that need a proof from the pool.
    pub(crate) fn share_of_good(&self) -> f64 {
        let all: f64 = self.0.iter().map(|(_, weight)| weight).sum();
        self.0.iter().filter(|(kind, _)| *kind == Kind::Good).map(|(_, weight)| weight).sum::<f64>() / all
    }

    /// Whether there are requests that must be refused.
    pub(crate) fn has_bad(&self) -> bool {
        self.0.iter().any(|(kind, weight)| *kind != Kind::Good && *weight > 0.0)
    }

    /// The kind of the next request.
    pub(crate) fn pick(&self, random: &mut Random) -> Kind {
        if let [(kind, _)] = self.0[..] {
            return kind;
        }
        let mut left = random.fraction() * self.0.iter().map(|(_, weight)| weight).sum::<f64>();
        for (kind, weight) in &self.0 {
            left -= weight;
            if left <= 0.0 {
                return *kind;
            }
        }
        self.0[0].0
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
            let kind = kind.ok_or_else(|| format!("{name}: no kind of request"))?;
            let weight = weight.parse().map_err(|_| format!("{weight}: no weight"))?;
            Ok::<_, String>((kind, weight))
        };
        text.split(',').map(part).collect::<Result<_, _>>().map(Self)
    }
}

/// Chooses clients by Zipf's law: the nth most often in proportion to 1/n^s.
#[derive(Debug)]
pub(crate) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weigh = |rank: usize| {
            sum += (rank as f64).powf(-exponent);
            sum
        };
        Self { cumulated: (1..=count).map(weigh).collect() }
    }

    /// The place of one.
    pub(crate) fn pick(&self, random: &mut Random) -> usize {
        let whole = self.cumulated.last().copied().unwrap_or_default();
        let at = random.fraction() * whole;
        self.cumulated.partition_point(|sum| *sum < at).min(self.cumulated.len() - 1)
    }
}

/// Xorshift (Marsaglia 2003): the same choices in every run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    /// From 0 to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
