//! Which evidence a set of fingerprints reads: recog's keys and our own.

use std::borrow::Cow;

use domain::EvidenceKind;

/// How a value of evidence becomes the text that fingerprints read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it is.
    Whole,
    /// Without the protocol version of SSH's identification string (RFC 4253 section 4.2).
    AfterSshVersion,
    /// As the `WWW-Authenticate` header that asks for it.
    Challenge,
    /// What follows the equals sign, where the key before it is this one.
    ValueOf(&'static str),
}

/// Evidence of one kind, in one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kind: EvidenceKind,
    pub(super) form: Form,
}

impl Key {
    const fn whole(kind: EvidenceKind) -> Self {
        Self {
            kind,
            form: Form::Whole,
        }
    }

    /// The text that fingerprints read, if this evidence is for them.
    pub(super) fn text<'a>(&self, kind: EvidenceKind, value: &'a str) -> Option<Cow<'a, str>> {
        if kind != self.kind {
            return None;
        }
        match self.form {
            Form::Whole => Some(Cow::Borrowed(value)),
            Form::AfterSshVersion => {
                let rest = value.strip_prefix("SSH-")?;
                rest.split_once('-').map(|(_, rest)| Cow::Borrowed(rest))
            }
            Form::Challenge => Some(Cow::Owned(format!("Basic realm=\"{value}\""))),
            Form::ValueOf(key) => match value.split_once('=') {
                Some((name, text)) if name.eq_ignore_ascii_case(key) => Some(Cow::Borrowed(text)),
                _ => None,
            },
        }
    }
}

/// What a `matches` attribute, or a file's name in its place, stands for. A key that no sensor of ours sees stands for
/// nothing: its examples are still run.
///
/// # Errors
/// A word with a dot that is neither a kind of evidence nor a key of recog's, for it is surely a slip.
pub(super) fn keys(matches: &str) -> Vec<Key> {
    matches
        .split_whitespace()
        .flat_map(|word| match EvidenceKind::parse(word) {
            Some(kind) => vec![Key::whole(kind)],
            None => recog(word),
        })
        .collect()
}

fn recog(key: &str) -> Vec<Key> {
    use EvidenceKind as E;
    let whole = |kinds: &[E]| kinds.iter().map(|kind| Key::whole(*kind)).collect();
    let form = |kind: E, form: Form| vec![Key { kind, form }];
    match key {
        "apache_os" => whole(&[E::HttpServer]),
        "dhcp_vendor_class" => whole(&[E::DhcpVendorClass]),
        "dns.versionbind" => whole(&[E::DnsVersionBind]),
        "ftp.banner" => whole(&[E::FtpBanner]),
        "hp_pjl_id" => form(E::IppPrinter, Form::ValueOf("printer-make-and-model")),
        "html_title" => whole(&[E::HttpTitle]),
        "http_header.server" => whole(&[E::HttpServer, E::SsdpServer]),
        "http_header.wwwauth" => form(E::HttpRealm, Form::Challenge),
        "mdns.device-info.txt" => whole(&[E::MdnsTxt]),
        "operating_system.name" => whole(&[E::ScanOs, E::RegisterOs]),
        "rtsp_header.server" => whole(&[E::RtspServer]),
        "sip_header.server" | "sip_header.user_agent" => whole(&[E::SipUserAgent]),
        "smb.native_lm" => whole(&[E::SmbNativeLm]),
        "smb.native_os" => whole(&[E::SmbNativeOs]),
        "smtp.banner" => whole(&[E::SmtpBanner]),
        "snmp.sys_description" => whole(&[E::SnmpSysDescr, E::LldpDescription]),
        "snmp.sys_object_id" => whole(&[E::SnmpSysObjectId]),
        "ssh.banner" => form(E::SshServer, Form::AfterSshVersion),
        "telnet_banners" | "telnet.banner" => whole(&[E::TelnetBanner]),
        "x509.issuer" => whole(&[E::TlsIssuer]),
        "x509.subject" => whole(&[E::TlsSubject]),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_gives_the_text_that_recog_expects() {
        let text = |matches: &str, kind, value: &str| {
            keys(matches)
                .iter()
                .find_map(|key| key.text(kind, value).map(Cow::into_owned))
        };
        use EvidenceKind as E;
        assert_eq!(
            text("ssh.banner", E::SshServer, "SSH-2.0-OpenSSH_9.2p1 Debian-2"),
            Some("OpenSSH_9.2p1 Debian-2".to_owned())
        );
        assert_eq!(text("ssh.banner", E::SshServer, "hello"), None);
        assert_eq!(
            text("http_header.wwwauth", E::HttpRealm, "monit"),
            Some("Basic realm=\"monit\"".to_owned())
        );
        assert_eq!(
            text("hp_pjl_id", E::IppPrinter, "printer-make-and-model=HP X"),
            Some("HP X".to_owned())
        );
        assert_eq!(
            text("dns.query tls.server_name", E::TlsServerName, "a.b"),
            Some("a.b".to_owned())
        );
        assert!(keys("tls.jarm").is_empty());
    }
}
