//! The table of device types, by category.

mod building;
mod clinical;
mod computer;
mod consumer;
mod medical;
mod network;
mod office;

use domain::Criticality;

use super::DeviceType;

/// Every type: name, category, criticality, words, platform, other texts; the more important categories first.
///
/// Criticality is what a cut does in the worst ordinary case: a network switch carries bedside traffic, a programmable
/// controller may run medical gas. A hospital overrides it per device.
pub const TYPES: &[DeviceType] = &joined();

const TABLES: [&[DeviceType]; 7] = [
    medical::TYPES,
    clinical::TYPES,
    computer::TYPES,
    network::TYPES,
    building::TYPES,
    office::TYPES,
    consumer::TYPES,
];

const COUNT: usize = {
    let (mut table, mut count) = (0, 0);
    while table < TABLES.len() {
        count += TABLES[table].len();
        table += 1;
    }
    count
};

const fn joined() -> [DeviceType; COUNT] {
    let mut all = [TABLES[0][0]; COUNT];
    let (mut table, mut at) = (0, 0);
    while table < TABLES.len() {
        let mut row = 0;
        while row < TABLES[table].len() {
            all[at] = TABLES[table][row];
            row += 1;
            at += 1;
        }
        table += 1;
    }
    all
}

const fn kind(
    id: &'static str,
    category: &'static str,
    criticality: Criticality,
    words: &'static str,
    platform: Option<&'static str>,
    aliases: &'static [&'static str],
) -> DeviceType {
    DeviceType {
        id,
        category,
        criticality,
        words,
        platform,
        aliases,
    }
}
