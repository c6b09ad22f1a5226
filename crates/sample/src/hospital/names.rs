//! Names that nobody has: given names are ordinary, family names are put together from invented syllables.

use crate::random::Random;

const FEMALE: &[&str] = &[
    "Ada", "Aiko", "Amara", "Beatriz", "Carmen", "Daphne", "Elif", "Esther", "Farah", "Greta",
    "Hana", "Imani", "Ingrid", "Josefa", "Kavya", "Leila", "Lotte", "Mairi", "Mei", "Nadia",
    "Nneka", "Olga", "Paloma", "Quynh", "Rosa", "Saskia", "Tamar", "Una", "Vera", "Wanjiru",
    "Ximena", "Yara", "Zofia",
];

const MALE: &[&str] = &[
    "Abel", "Arjun", "Bashir", "Caleb", "Dmitri", "Emre", "Farid", "Gustav", "Hiro", "Idris",
    "Jonas", "Kofi", "Lars", "Mateo", "Milan", "Nikolai", "Omar", "Pavel", "Quentin", "Rafael",
    "Samir", "Tadeo", "Uri", "Viktor", "Wendell", "Yusuf", "Zoltan", "Anselm", "Bo", "Cyril",
];

const FIRST: &[&str] = &[
    "Quill", "Thistle", "Fenni", "Lark", "Marrow", "Ember", "Cobble", "Wren", "Saffron", "Gable",
    "Hollin", "Juni", "Kestrel", "Lumen", "Mossel", "Nettle", "Otter", "Pebble", "Rillet",
    "Sorrel", "Tansy", "Umber", "Velling", "Willet", "Yarrow", "Zephyr", "Brindle", "Candle",
    "Dapple", "Fallow", "Ginger", "Heron",
];

const LAST: &[&str] = &[
    "mere", "holt", "moss", "wick", "combe", "sworth", "dene", "stoke", "garth", "low", "fen",
    "croft", "beck", "shaw", "ridge", "thorpe", "lea", "brook", "hurst", "well",
];

/// Administrative gender, as FHIR spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gender {
    Female,
    Male,
}

impl Gender {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Female => "female",
            Self::Male => "male",
        }
    }
}

/// Draws names; no family name is drawn twice until all have been.
pub(super) struct Names {
    families: Vec<String>,
    next: usize,
    random: Random,
}

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "names");
        let mut families: Vec<String> = FIRST
            .iter()
            .flat_map(|first| LAST.iter().map(move |last| format!("{first}{last}")))
            .collect();
        random.shuffle(&mut families);
        Self {
            families,
            next: 0,
            random,
        }
    }

    pub(super) fn gender(&mut self) -> Gender {
        if self.random.chance(52) {
            Gender::Female
        } else {
            Gender::Male
        }
    }

    pub(super) fn given(&mut self, gender: Gender) -> &'static str {
        match gender {
            Gender::Female => self.random.pick::<&str>(FEMALE),
            Gender::Male => self.random.pick::<&str>(MALE),
        }
    }

    pub(super) fn family(&mut self) -> String {
        let family = self.families[self.next % self.families.len()].clone();
        self.next += 1;
        family
    }
}
