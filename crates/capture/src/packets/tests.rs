use super::*;

const SECS: u32 = 1_795_336_205;

#[derive(Clone, Copy)]
struct Kind {
    big: bool,
    nanos: bool,
    long: bool,
}

const KINDS: [Kind; 6] = [
    Kind {
        big: false,
        nanos: false,
        long: false,
    },
    Kind {
        big: true,
        nanos: false,
        long: false,
    },
    Kind {
        big: false,
        nanos: true,
        long: false,
    },
    Kind {
        big: true,
        nanos: true,
        long: false,
    },
    Kind {
        big: false,
        nanos: false,
        long: true,
    },
    Kind {
        big: true,
        nanos: false,
        long: true,
    },
];

fn word(out: &mut Vec<u8>, value: u32, big: bool) {
    out.extend_from_slice(&if big {
        value.to_be_bytes()
    } else {
        value.to_le_bytes()
    });
}

fn half(out: &mut Vec<u8>, value: u16, big: bool) {
    out.extend_from_slice(&if big {
        value.to_be_bytes()
    } else {
        value.to_le_bytes()
    });
}

/// A capture in libpcap's format with `count` packets of `size` octets, each a second after the other.
fn pcap(kind: Kind, count: u32, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let magic = match (kind.nanos, kind.long) {
        (false, false) => 0xa1b2_c3d4,
        (true, _) => 0xa1b2_3c4d,
        (false, true) => 0xa1b2_cd34,
    };
    word(&mut out, magic, kind.big);
    half(&mut out, 2, kind.big);
    half(&mut out, 4, kind.big);
    for value in [0, 0, 65_535, 1] {
        word(&mut out, value, kind.big);
    }
    for number in 0..count {
        word(&mut out, SECS + number, kind.big);
        word(
            &mut out,
            if kind.nanos { 250_000_000 } else { 250_000 },
            kind.big,
        );
        word(&mut out, size as u32, kind.big);
        word(&mut out, size as u32 + 10, kind.big);
        if kind.long {
            out.extend_from_slice(&[0; 8]);
        }
        out.extend(std::iter::repeat_n((number % 251) as u8, size));
    }
    out
}

fn block(kind: u32, body: &[u8], big: bool) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let mut out = Vec::new();
    word(&mut out, kind, big);
    word(&mut out, body.len() as u32 + 12, big);
    out.extend_from_slice(&body);
    word(&mut out, body.len() as u32 + 12, big);
    out
}

fn section(big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    word(&mut body, 0x1a2b_3c4d, big);
    half(&mut body, 1, big);
    half(&mut body, 0, big);
    body.extend_from_slice(&[0xff; 8]);
    block(0x0a0d_0d0a, &body, big)
}

/// An interface of a link type, with a clock of 10 to the minus `resolution` seconds.
fn interface(link: u16, resolution: Option<u8>, big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    half(&mut body, link, big);
    half(&mut body, 0, big);
    word(&mut body, 0, big);
    if let Some(resolution) = resolution {
        half(&mut body, 9, big);
        half(&mut body, 1, big);
        body.extend_from_slice(&[resolution, 0, 0, 0]);
        half(&mut body, 0, big);
        half(&mut body, 0, big);
    }
    block(1, &body, big)
}

fn enhanced(interface: u32, time: u64, bytes: &[u8], big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for value in [
        interface,
        (time >> 32) as u32,
        time as u32,
        bytes.len() as u32,
        bytes.len() as u32,
    ] {
        word(&mut body, value, big);
    }
    body.extend_from_slice(bytes);
    block(6, &body, big)
}

type Found = (i64, LinkType, Vec<u8>, usize);

/// Reads in pieces of `piece` octets, as a job does.
fn read(format: Format, octets: &[u8], piece: usize) -> (Vec<Found>, Vec<Damage>, Framer) {
    let mut framer = Framer::new(format, Timestamp::from_millis(7)).expect("a capture format");
    let (mut packets, mut damages) = (Vec::new(), Vec::new());
    let mut held = Vec::new();
    let mut pieces = octets.chunks(piece.max(1)).peekable();
    loop {
        held.extend_from_slice(pieces.next().unwrap_or_default());
        let end = pieces.peek().is_none();
        let used = framer.take(
            &held,
            end,
            &mut |packet| {
                packets.push((
                    packet.at.as_millis(),
                    packet.link,
                    packet.bytes.to_vec(),
                    packet.length,
                ))
            },
            &mut |damage| damages.push(damage),
        );
        assert!(used <= held.len());
        held.drain(..used);
        assert!(held.len() <= RECORD_MAX.saturating_add(piece).saturating_add(64));
        if end {
            assert!(held.is_empty(), "{} octets are left", held.len());
            return (packets, damages, framer);
        }
    }
}

#[test]
fn every_variant_of_libpcaps_format_reads_alike() {
    for kind in KINDS {
        let octets = pcap(kind, 5, 60);
        let (packets, damages, _) = read(Format::Pcap, &octets, usize::MAX);
        assert_eq!(damages, []);
        assert_eq!(packets.len(), 5);
        assert_eq!(
            packets[4],
            (
                (i64::from(SECS) + 4) * 1000 + 250,
                LinkType::Ethernet,
                vec![4; 60],
                70
            )
        );
        for piece in [1, 7, 33, 100] {
            assert_eq!(
                read(Format::Pcap, &octets, piece).0,
                packets,
                "pieces of {piece}"
            );
        }
    }
}

#[test]
fn captures_put_one_behind_the_other_are_read() {
    let octets = [pcap(KINDS[0], 3, 60), pcap(KINDS[1], 2, 60)].concat();
    let (packets, damages, _) = read(Format::Pcap, &octets, usize::MAX);
    assert_eq!((packets.len(), damages.len()), (5, 0));
}

#[test]
fn pcapng_with_several_interfaces_and_orders_is_read() {
    for big in [false, true] {
        let mut simple = Vec::new();
        word(&mut simple, 3, big);
        simple.extend_from_slice(&[9, 9, 9]);
        let mut obsolete = Vec::new();
        half(&mut obsolete, 1, big);
        half(&mut obsolete, 0, big);
        for value in [0, 5_000_000, 2, 2] {
            word(&mut obsolete, value, big);
        }
        obsolete.extend_from_slice(&[8, 8]);
        let mut statistics = Vec::new();
        for value in [0, 0, 0] {
            word(&mut statistics, value, big);
        }
        half(&mut statistics, 5, big);
        half(&mut statistics, 8, big);
        statistics.extend_from_slice(&if big {
            11_u64.to_be_bytes()
        } else {
            11_u64.to_le_bytes()
        });
        let octets = [
            section(big),
            interface(1, None, big),
            interface(101, Some(9), big),
            enhanced(0, 1_500_000, &[1, 2, 3], big),
            enhanced(1, 2_500_000_000, &[4], big),
            block(3, &simple, big),
            block(0x0bad, &[0; 8], big),
            block(2, &obsolete, big),
            block(5, &statistics, big),
            section(!big),
            interface(1, Some(0x80 | 10), !big),
            enhanced(0, 2048, &[7], !big),
            enhanced(5, 0, &[7], !big),
        ]
        .concat();
        let (packets, damages, framer) = read(Format::PcapNg, &octets, usize::MAX);
        assert_eq!(damages, []);
        assert_eq!(
            packets,
            [
                (1500, LinkType::Ethernet, vec![1, 2, 3], 3),
                (2500, LinkType::RawIp, vec![4], 1),
                (2500, LinkType::Ethernet, vec![9, 9, 9], 3),
                (5, LinkType::RawIp, vec![8, 8], 2),
                (2000, LinkType::Ethernet, vec![7], 1),
                (0, LinkType::Other(u32::MAX), vec![7], 1),
            ]
        );
        assert_eq!(framer.dropped(), 11);
        for piece in [1, 13, 64] {
            assert_eq!(
                read(Format::PcapNg, &octets, piece).0,
                packets,
                "pieces of {piece}"
            );
        }
    }
}

#[test]
fn a_cut_capture_keeps_its_whole_packets_and_names_the_offset() {
    let octets = pcap(KINDS[0], 10, 60);
    let (packets, damages, _) = read(Format::Pcap, &octets[..24 + 76 * 4 + 30], 50);
    assert_eq!(packets.len(), 4);
    assert_eq!(damages.len(), 1);
    assert_eq!(damages[0].offset, 24 + 76 * 4);
}

#[test]
fn a_giant_length_costs_one_packet_and_no_memory() {
    for kind in KINDS {
        let mut octets = pcap(kind, 2000, 500);
        let header = if kind.long { 24 } else { 16 };
        let at = 24 + (header + 500) * 700;
        octets[at + 8..at + 12].copy_from_slice(&[0xff; 4]);
        let (packets, damages, _) = read(Format::Pcap, &octets, 100_000);
        assert_eq!(packets.len(), 1999);
        assert_eq!(damages.len(), 1);
        assert_eq!(damages[0].offset, at as u64);
    }
}

#[test]
fn noise_in_the_middle_of_a_capture_is_skipped() {
    for (format, mut octets) in [
        (Format::Pcap, pcap(KINDS[0], 3000, 400)),
        (Format::PcapNg, {
            let mut octets = [section(false), interface(1, None, false)].concat();
            for number in 0..3000_u64 {
                octets.extend(enhanced(0, number * 1_000_000, &[number as u8; 400], false));
            }
            octets
        }),
    ] {
        // Not aligned to anything.
        let noise: Vec<u8> = (0..5000_u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        octets.splice(600_001..600_003, noise);
        let (packets, damages, _) = read(format, &octets, 1 << 18);
        assert!(
            packets.len() >= 2995,
            "{format:?}: {} packets",
            packets.len()
        );
        assert!(!damages.is_empty() && damages.len() < 20, "{damages:?}");
        assert!(
            damages
                .windows(2)
                .all(|pair| pair[0].offset < pair[1].offset)
        );
    }
}

#[test]
fn a_header_of_nonsense_ends_the_file() {
    let (packets, damages, _) = read(Format::Pcap, &[0xee; 10_000], 1000);
    assert_eq!((packets.len(), damages.len()), (0, 1));
    let (packets, damages, _) = read(Format::Pcap, &pcap(KINDS[0], 1, 60)[..10], 1000);
    assert_eq!((packets.len(), damages.len()), (0, 1));
}

proptest::proptest! {
    #[test]
    fn any_octets_are_survived(noise in proptest::collection::vec(proptest::num::u8::ANY, 0..300), at in 0_usize..2000, piece in 1_usize..500, ng: bool) {
        let mut octets = if ng {
            let mut octets = [section(false), interface(1, None, false)].concat();
            for number in 0..20_u64 {
                octets.extend(enhanced(0, number, &[number as u8; 40], false));
            }
            octets
        } else {
            pcap(KINDS[0], 20, 60)
        };
        let at = at.min(octets.len());
        for (place, octet) in octets.iter_mut().skip(at).zip(&noise) {
            *place = *octet;
        }
        let format = if ng { Format::PcapNg } else { Format::Pcap };
        let (packets, _, _) = read(format, &octets, piece);
        proptest::prop_assert!(packets.len() <= 200);
        read(format, &noise, piece);
    }
}
