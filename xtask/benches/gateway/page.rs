//! Just enough reading of a page to submit its form as a person does who changes nothing in it.

/// The fields that the form with the address `action` submits when nothing in it is touched: hidden ones as they are,
/// each choice at its first entry.
pub(crate) fn form(page: &str, action: &str) -> Option<Vec<(String, String)>> {
    let start = page.find(&format!("action=\"{action}\""))?;
    let page = &page[start..];
    let page = &page[..page.find("</form>")?];
    let mut fields = Vec::new();
    let mut choice: Option<String> = None;
    for tag in page
        .split('<')
        .filter_map(|piece| piece.split_once('>').map(|(tag, _)| tag))
    {
        let name = attribute(tag, "name");
        let value = attribute(tag, "value");
        match tag.split_ascii_whitespace().next() {
            Some("input") => fields.extend(name.zip(value)),
            Some("select") => choice = name,
            // The first entry takes the name of the choice away from the others.
            Some("option") => fields.extend(value.and_then(|value| Some((choice.take()?, value)))),
            Some(_) | None => {}
        }
    }
    Some(fields)
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    let value = &tag[start..];
    let value = &value[..value.find('"')?];
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
