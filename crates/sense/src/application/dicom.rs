//! DICOM (PS3.7, PS3.8): titles, toolkits, SOP classes by role, operations, and the device facts of data sets.

use super::StreamProtocol;
use domain::conversation::Protection;
use domain::net::Party;
use domain::observation::{Asset, EvidenceKind};
use smol_str::SmolStr;
use wire::dicom::{
    Associate, ContextResult, DeviceAttribute, Event, Operation, Pdu, Stream, TransferSyntax,
    command, device_attributes,
};

use super::{Findings, First, Memory, Progress, Scene, Streams, Verdict};
use crate::counters::Parser;
use crate::text::Printable;

pub(super) static PROTOCOL: StreamProtocol = StreamProtocol {
    service: "dicom",
    ports: &[104, 11112, 4242, 2761],
    protection: Protection::Cleartext,
    follows: true,
    recognise,
    dissect,
};

pub(super) fn recognise(first: &First<'_>) -> Verdict {
    // A-ASSOCIATE-RQ comes from the opener; the other PDUs are met when a capture begins in the middle.
    let starts = |octets: &[u8]| octets.len() >= 12 && Stream::looks_like_start(octets);
    match (first.to_server.first(), first.to_client.first()) {
        (Some(1), _) if starts(first.to_server) => Verdict::Yes,
        (Some(2), _) if starts(first.to_server) => Verdict::Reversed,
        (Some(4), _) if starts(first.to_server) => Verdict::Yes,
        (Some(1 | 2 | 4), _)
            if first.to_server.len() < 42 && first.to_server.get(1).is_none_or(|b| *b == 0) =>
        {
            Verdict::Perhaps
        }
        (None, Some(2 | 4)) if starts(first.to_client) => Verdict::Yes,
        (None, Some(1)) if starts(first.to_client) => Verdict::Reversed,
        (None, Some(1 | 2 | 4))
            if first.to_client.len() < 42 && first.to_client.get(1).is_none_or(|b| *b == 0) =>
        {
            Verdict::Perhaps
        }
        _ => Verdict::No,
    }
}

/// Presentation contexts are odd: at most 128.
const CONTEXTS: usize = 128;

/// Bound: two streams of at most 64 KiB each while an association opens or a command is read, 16 KiB while the head of
/// a data set is kept, and some hundred octets.
struct State {
    streams: [Stream; 2],
    syntaxes: [TransferSyntax; CONTEXTS],
    /// What the message under way says of its sender, in each direction.
    storing: [Storing; 2],
    /// The hash of the first device that data sets of this association described, in each direction.
    described: [Option<u64>; 2],
}

impl Default for State {
    fn default() -> Self {
        Self {
            streams: [Stream::new(), Stream::new()],
            // Until an acceptance was seen: the default transfer syntax (PS3.5 §10.1).
            syntaxes: [TransferSyntax::ImplicitLittle; CONTEXTS],
            storing: [Storing::Nothing; 2],
            described: [None; 2],
        }
    }
}

/// How far the data set that follows a command describes its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storing {
    /// Not at all: a query, its answers, a print job.
    Nothing,
    /// The sender made it, as far as one can see.
    Own,
    /// An archive sends what others made.
    Others,
}

pub(super) fn dissect(
    scene: &Scene,
    streams: &Streams<'_>,
    memory: &mut Memory,
    findings: &mut Findings<'_>,
) -> Progress {
    let state = memory.get::<State>();
    let mut taken = [0_u64; 2];
    let sides = [
        (streams.to_server, streams.gap_to_server, true),
        (streams.to_client, streams.gap_to_client, false),
    ];
    // A request is read before its answer, whichever came with the newest packet.
    for (side, (octets, gap, from_client)) in sides.into_iter().enumerate() {
        let mut stream = std::mem::take(&mut state.streams[side]);
        if gap {
            stream.lose();
        }
        stream.feed(octets, &mut |event| {
            on_event(scene, state, event, side, from_client, findings);
        });
        let idle = stream.idle();
        if idle > 0 {
            stream.gap(idle);
        }
        taken[side] = octets.len() as u64 + idle;
        state.streams[side] = stream;
    }
    if streams.ended {
        return Progress::Done;
    }
    Progress::More {
        to_server: taken[0],
        to_client: taken[1],
    }
}

fn party(scene: &Scene, client: bool) -> Party {
    if client { scene.client } else { scene.server }
}

fn on_event(
    scene: &Scene,
    state: &mut State,
    event: Event<'_>,
    side: usize,
    from_client: bool,
    findings: &mut Findings<'_>,
) {
    match event {
        Event::Request(associate) => {
            let who = party(scene, from_client);
            title(&who, associate.calling, findings);
            toolkit(&who, &associate, findings);
            // What it asks for, accepted or not, says what it is.
            for context in associate.contexts() {
                if let Some(uid) = context.abstract_syntax() {
                    let scp_only = associate
                        .roles()
                        .find(|role| role.sop_class == uid)
                        .is_some_and(|role| role.scp && !role.scu);
                    sop_class(&who, if scp_only { "scp" } else { "scu" }, uid, findings);
                }
                let index = usize::from(context.id / 2);
                // The only one proposed is the one used, if the answer is not captured.
                let mut proposed = context.transfer_syntaxes();
                if let (Some(only), None) = (proposed.next(), proposed.next()) {
                    state.syntaxes[index] = TransferSyntax::from_uid(only);
                }
            }
            state.storing = [Storing::Nothing; 2];
            state.described = [None; 2];
        }
        Event::Accept(associate) => {
            let who = party(scene, from_client);
            title(&who, associate.called, findings);
            toolkit(&who, &associate, findings);
            for context in associate.contexts() {
                if context.result == Some(ContextResult::Accepted)
                    && let Some(uid) = context.transfer_syntaxes().next()
                {
                    state.syntaxes[usize::from(context.id / 2)] = TransferSyntax::from_uid(uid);
                }
            }
        }
        Event::Ends(Pdu::AssociateRj(reject)) => {
            findings.meaning(if reject.is_unknown_title() {
                "association rejected: unknown title"
            } else {
                "association rejected"
            });
        }
        Event::Ends(_) => {}
        Event::Command { context: _, bytes } => {
            on_command(scene, state, bytes, side, from_client, findings)
        }
        Event::DataSet { context, head, .. } => {
            let storing = std::mem::replace(&mut state.storing[side], Storing::Nothing);
            if storing != Storing::Nothing {
                let syntax = state.syntaxes[usize::from(context / 2)];
                describe(
                    scene,
                    state,
                    head,
                    syntax,
                    storing,
                    side,
                    from_client,
                    findings,
                );
            }
        }
        Event::Skipped | Event::Doubtful(_) => {}
        Event::Lost(_) => findings.malformed(Parser::Dicom),
    }
}

fn title(who: &Party, title: &[u8], findings: &mut Findings<'_>) {
    let sound = (1..=16).contains(&title.len())
        && title
            .iter()
            .all(|b| (b' '..=b'~').contains(b) && *b != b'\\');
    if sound {
        findings.about(who, EvidenceKind::DicomAeTitle, title);
    }
}

fn toolkit(who: &Party, associate: &Associate<'_>, findings: &mut Findings<'_>) {
    if let Some(uid) = associate
        .implementation_class()
        .filter(|uid| wire::dicom::is_uid(uid))
    {
        findings.about(who, EvidenceKind::DicomImplementationClass, uid);
    }
    if let Some(name) = associate
        .implementation_version()
        .filter(|name| name.len() <= 16)
    {
        findings.about(who, EvidenceKind::DicomImplementationVersion, name);
    }
}

fn sop_class(who: &Party, role: &'static str, uid: &[u8], findings: &mut Findings<'_>) {
    if wire::dicom::is_uid(uid) {
        let uid = Printable(uid);
        findings.about(
            who,
            EvidenceKind::DicomSopClass,
            format_args!("{role} {uid}"),
        );
    }
}

fn on_command(
    scene: &Scene,
    state: &mut State,
    bytes: &[u8],
    side: usize,
    from_client: bool,
    findings: &mut Findings<'_>,
) {
    let Ok(command) = command(bytes) else {
        findings.malformed(Parser::Dicom);
        return;
    };
    let operation = command.operation;
    // A notification is invoked by the provider; every other request by the user.
    let invoker_is_user = !operation.is_notification();
    let role = if command.response != invoker_is_user {
        "scu"
    } else {
        "scp"
    };
    let who = party(scene, from_client);
    findings.about(
        &who,
        EvidenceKind::DicomOperation,
        format_args!("{role} {operation}"),
    );
    if command.response {
        if let Some(uid) = command.sop_class() {
            sop_class(&who, role, uid, findings);
        }
        state.storing[side] = Storing::Nothing;
        return;
    }
    findings.meaning(operation.as_str());
    state.storing[side] = match operation {
        Operation::CStore if command.move_originator.is_some() || !from_client => Storing::Others,
        Operation::CStore => Storing::Own,
        // Performed procedure steps come from the modality itself.
        Operation::NCreate | Operation::NSet
            if command
                .sop_class()
                .is_some_and(|uid| uid.starts_with(b"1.2.840.10008.3.1.2.3.")) =>
        {
            Storing::Own
        }
        _ => Storing::Nothing,
    };
}

#[allow(clippy::too_many_arguments, reason = "one call, one place")]
fn describe(
    scene: &Scene,
    state: &mut State,
    head: &[u8],
    syntax: TransferSyntax,
    storing: Storing,
    side: usize,
    from_client: bool,
    findings: &mut Findings<'_>,
) {
    let found = device_attributes(head, syntax);
    if found.is_empty() {
        return;
    }
    let get = |attribute| found.get(attribute).unwrap_or_default();
    let (maker, model, serial) = (
        get(DeviceAttribute::Manufacturer),
        get(DeviceAttribute::ManufacturerModelName),
        get(DeviceAttribute::DeviceSerialNumber),
    );
    // One association that carries the data sets of two devices comes from an archive or a router.
    let mut device = findings.out.keyed.octets(0, maker);
    for part in [model, serial, get(DeviceAttribute::StationName)] {
        device = findings.out.keyed.octets(device, part);
    }
    let first = *state.described[side].get_or_insert(device);
    let own = storing == Storing::Own && first == device;
    let who = party(scene, from_client);
    let asset = if own {
        None
    } else if let Some(udi) = found
        .get(DeviceAttribute::UniqueDeviceIdentifier)
        .and_then(wire::udi)
    {
        Some(Asset::Udi(SmolStr::new(udi.to_string())))
    } else if !serial.is_empty() && (!maker.is_empty() || !model.is_empty()) {
        let text = format!(
            "{} {} {}",
            Printable(maker),
            Printable(model),
            Printable(serial)
        );
        Some(Asset::Serial(SmolStr::new(text.trim())))
    } else {
        // Somebody's, but nobody can say whose.
        return;
    };
    for (attribute, value) in found.iter() {
        let keyword = attribute.keyword();
        let value = format_args!("{keyword}={}", Printable(value));
        match &asset {
            None => findings.about(&who, EvidenceKind::DicomDevice, value),
            Some(asset) => findings.asset_of(&who, asset, EvidenceKind::DicomDevice, value),
        }
    }
}
