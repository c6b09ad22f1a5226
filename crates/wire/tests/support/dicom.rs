//! Makes DICOM: associations, commands, data sets.

/// One item of an association.
pub(crate) fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short");
    [&[kind, 0][..], &length.to_be_bytes(), value].concat()
}

fn title(text: &str) -> [u8; 16] {
    let mut out = [b' '; 16];
    out[..text.len()].copy_from_slice(text.as_bytes());
    out
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    [&[kind, 0][..], &length.to_be_bytes(), body].concat()
}

/// A-ASSOCIATE-RQ (`result` absent) or -AC, with one context for each SOP class, numbered 1, 3, 5 …
pub(crate) fn associate(
    called: &str,
    calling: &str,
    contexts: &[(&str, &str)],
    result: Option<u8>,
    user_items: &[Vec<u8>],
) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 0];
    body.extend(title(called));
    body.extend(title(calling));
    body.extend([0; 32]);
    body.extend(item(0x10, b"1.2.840.10008.3.1.1.1"));
    for (number, (class, syntax)) in (0_u8..).zip(contexts) {
        let id = number * 2 + 1;
        let mut context = vec![id, 0, result.unwrap_or(0), 0];
        if result.is_none() {
            context.extend(item(0x30, class.as_bytes()));
        }
        context.extend(item(0x40, syntax.as_bytes()));
        body.extend(item(if result.is_none() { 0x20 } else { 0x21 }, &context));
    }
    let mut user = item(0x51, &[0, 0, 0x40, 0]);
    user.extend(item(0x52, b"1.2.3.4.5.6"));
    user.extend(item(0x55, b"ASEPSIS_TEST"));
    user_items.iter().for_each(|item| user.extend(item));
    body.extend(item(0x50, &user));
    pdu(if result.is_none() { 1 } else { 2 }, &body)
}

/// P-DATA-TF with one value, in fragments of at most `longest` octets.
pub(crate) fn data(context: u8, command: bool, octets: &[u8], longest: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let count = octets.chunks(longest).count();
    for (index, part) in octets.chunks(longest).enumerate() {
        let last = index + 1 == count;
        let length = u32::try_from(part.len() + 2).expect("short");
        let mut body = length.to_be_bytes().to_vec();
        body.extend([context, u8::from(command) | u8::from(last) << 1]);
        body.extend(part);
        out.extend(pdu(4, &body));
    }
    out
}

/// A-RELEASE-RQ and -RP.
pub(crate) fn release(request: bool) -> Vec<u8> {
    pdu(if request { 5 } else { 6 }, &[0; 4])
}

/// One element in Implicit VR Little Endian.
pub(crate) fn implicit(group: u16, element: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    let mut out = group.to_le_bytes().to_vec();
    out.extend(element.to_le_bytes());
    out.extend(u32::try_from(value.len()).expect("short").to_le_bytes());
    out.extend(value);
    out
}

/// One element with a short length in Explicit VR Little Endian.
pub(crate) fn explicit(group: u16, element: u16, vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    let mut out = group.to_le_bytes().to_vec();
    out.extend(element.to_le_bytes());
    out.extend(vr);
    out.extend(u16::try_from(value.len()).expect("short").to_le_bytes());
    out.extend(value);
    out
}

/// A command set: command field, class, instance, whether a data set follows, status of a response.
pub(crate) fn command(
    field: u16,
    class: &str,
    instance: &str,
    data_set: bool,
    status: Option<u16>,
) -> Vec<u8> {
    let short = |value: u16| value.to_le_bytes();
    let mut out = implicit(0, 0x0002, class.as_bytes());
    out.extend(implicit(0, 0x0100, &short(field)));
    let id = if field & 0x8000 == 0 { 0x0110 } else { 0x0120 };
    out.extend(implicit(0, id, &short(7)));
    out.extend(implicit(
        0,
        0x0800,
        &short(if data_set { 1 } else { 0x0101 }),
    ));
    if let Some(status) = status {
        out.extend(implicit(0, 0x0900, &short(status)));
    }
    out.extend(implicit(0, 0x1000, instance.as_bytes()));
    let length = u32::try_from(out.len()).expect("short").to_le_bytes();
    [implicit(0, 0, &length), out].concat()
}
