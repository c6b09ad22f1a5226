//! Security labels: how confidential a resource is and why.
//!
//! Codes are those of HL7 v3 `Confidentiality` and `ActCode` (information sensitivity policy), as FHIR carries
//! them in `meta.security`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// HL7 v3 Confidentiality, from least to most protected.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Confidentiality {
    /// Unrestricted.
    U,
    /// Low.
    L,
    /// Moderate.
    M,
    /// Normal: ordinary patient data, and what an unlabelled resource counts as.
    #[default]
    N,
    /// Restricted.
    R,
    /// Very restricted.
    V,
}

impl Confidentiality {
    /// Reads an HL7 code, such as `R`.
    pub fn from_code(code: &str) -> Option<Self> {
        Some(match code {
            "U" => Self::U,
            "L" => Self::L,
            "M" => Self::M,
            "N" => Self::N,
            "R" => Self::R,
            "V" => Self::V,
            _ => return None,
        })
    }

    /// The HL7 code.
    pub fn code(self) -> &'static str {
        match self {
            Self::U => "U",
            Self::L => "L",
            Self::M => "M",
            Self::N => "N",
            Self::R => "R",
            Self::V => "V",
        }
    }
}

macro_rules! sensitivities {
    ($($(#[$meta:meta])* $name:ident = $bit:literal, $code:literal;)*) => {
        /// Why a resource is sensitive: HL7 v3 ActCode, information sensitivity policy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Sensitivity { $($(#[$meta])* $name = $bit,)* }

        impl Sensitivity {
            /// Every sensitivity, in the order of their bits.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The HL7 code, such as `HIV`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Reads an HL7 code; `None` for one this project does not distinguish.
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }
        }
    };
}

sensitivities! {
    /// Psychiatry.
    Psychiatry = 0, "PSY";
    /// Substance use: records of a programme under 42 CFR Part 2.
    SubstanceUse = 1, "ETH";
    /// HIV/AIDS.
    Hiv = 2, "HIV";
    /// Sexual assault, abuse or domestic violence.
    Violence = 3, "SDV";
    /// Sexually transmitted disease.
    Std = 4, "STD";
    /// Sexuality and reproductive health.
    Sexuality = 5, "SEX";
    /// Genetic disease.
    Genetic = 6, "GDIS";
    /// Psychotherapy note (45 CFR 164.501).
    PsychotherapyNote = 7, "PSYTHPN";
    /// Celebrity or other person of public interest.
    Vip = 8, "VIP";
    /// Patient who is employed here.
    Employee = 9, "EMP";
    /// A label that this project does not know: it counts as sensitive.
    Unknown = 15, "UNKNOWN";
}

impl fmt::Display for Sensitivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A set of sensitivities. Serialises as a sorted array of HL7 codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SensitivitySet(u16);

impl SensitivitySet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Adds one.
    pub fn insert(&mut self, sensitivity: Sensitivity) {
        self.0 |= 1 << sensitivity as u8;
    }

    /// Whether it holds this one.
    pub fn contains(self, sensitivity: Sensitivity) -> bool {
        self.0 & (1 << sensitivity as u8) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those of `self` that are absent from `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Sensitivity> {
        Sensitivity::ALL
            .iter()
            .copied()
            .filter(move |s| self.contains(*s))
    }
}

impl FromIterator<Sensitivity> for SensitivitySet {
    fn from_iter<I: IntoIterator<Item = Sensitivity>>(iter: I) -> Self {
        let mut set = Self::EMPTY;
        iter.into_iter().for_each(|s| set.insert(s));
        set
    }
}

impl Serialize for SensitivitySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Sensitivity::code))
    }
}

impl<'de> Deserialize<'de> for SensitivitySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let codes = Vec::<String>::deserialize(deserializer)?;
        Ok(codes
            .iter()
            .map(|c| Sensitivity::from_code(c).unwrap_or(Sensitivity::Unknown))
            .collect())
    }
}
