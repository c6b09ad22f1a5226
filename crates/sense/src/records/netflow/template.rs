//! Templates of NetFlow v9 and IPFIX, by exporter and observation domain.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::field::Record;
use super::{EXPORTERS_MAX, be16, be32};
use crate::records::Problem;

/// Most templates, of all exporters together.
pub const TEMPLATES_MAX: usize = 4096;

/// Most fields of a template.
pub const FIELDS_MAX: usize = 256;

/// Who exports: its address, the protocol's version, and its observation domain or source identifier.
pub(crate) type Domain = (Option<IpAddr>, u8, u32);

/// A field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    /// Information element (IANA "IPFIX Information Elements").
    pub(crate) element: u16,
    /// Private enterprise number; 0: IANA's.
    pub(crate) enterprise: u32,
    /// Octets; 65,535: written in front of the value (RFC 7011, 7).
    pub(crate) length: u16,
}

/// How records of one kind are laid out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) fields: Vec<Spec>,
    /// Whether its records are about the exporter rather than flows.
    pub(crate) options: bool,
    /// Octets that a record takes at least.
    pub(crate) octets_min: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Templates {
    known: HashMap<(Domain, u16), Arc<Template>>,
    sampling: HashMap<Domain, u64>,
}

impl Templates {
    pub(crate) fn get(&self, domain: Domain, id: u16) -> Option<Arc<Template>> {
        self.known.get(&(domain, id)).cloned()
    }

    /// How many packets one observed packet stands for.
    pub(crate) fn sampling(&self, domain: Domain) -> u64 {
        self.sampling.get(&domain).copied().unwrap_or(1)
    }

    /// A record about the exporter.
    pub(crate) fn options(&mut self, domain: Domain, record: &Record) {
        if let Some(interval) = record.sampling
            && (self.sampling.len() < EXPORTERS_MAX || self.sampling.contains_key(&domain))
        {
            self.sampling.insert(domain, interval);
        }
    }

    /// Learns the templates of a set; answers how many.
    pub(crate) fn learn(
        &mut self,
        domain: Domain,
        mut body: &[u8],
        options: bool,
        ipfix: bool,
    ) -> Result<u32, Problem> {
        let mut learnt = 0;
        // Up to three octets pad a set.
        while body.len() >= 4 {
            let (id, count) = (be16(body, 0), usize::from(be16(body, 2)));
            if id < 256 {
                // Padding of zeroes, or a withdrawal of all templates (RFC 7011, 8.1).
                if ipfix && count == 0 && matches!(id, 2 | 3) {
                    self.known.retain(|(of, _), _| *of != domain);
                }
                break;
            }
            if ipfix && count == 0 {
                self.known.remove(&(domain, id));
                body = body.get(4..).unwrap_or_default();
                continue;
            }
            let (count, mut rest) = match (options, ipfix) {
                (false, _) => (count, body.get(4..)),
                // IPFIX counts scope fields among all; NetFlow v9 tells octets of both kinds.
                (true, true) => (count, body.get(6..)),
                (true, false) => ((count + usize::from(be16(body, 4))) / 4, body.get(6..)),
            };
            if count > FIELDS_MAX {
                return Err(Problem::new(
                    format!("a template of more than {FIELDS_MAX} fields"),
                    "export fewer fields",
                ));
            }
            let mut fields = Vec::with_capacity(count);
            let mut octets_min = 0_usize;
            for _ in 0..count {
                let Some(spec) = rest.filter(|rest| rest.len() >= 4) else {
                    return Err(super::short());
                };
                let (element, length) = (be16(spec, 0), be16(spec, 2));
                let private = ipfix && element & 0x8000 != 0;
                if private && spec.len() < 8 {
                    return Err(super::short());
                }
                fields.push(Spec {
                    element: if ipfix { element & 0x7fff } else { element },
                    enterprise: if private { be32(spec, 4) } else { 0 },
                    length,
                });
                octets_min += if length == u16::MAX {
                    1
                } else {
                    usize::from(length)
                };
                rest = spec.get(if private { 8 } else { 4 }..);
            }
            if octets_min == 0 {
                return Err(Problem::new(
                    "a template whose records are empty",
                    "the datagram is damaged",
                ));
            }
            let template = Template {
                fields,
                options,
                octets_min,
            };
            if self.known.len() < TEMPLATES_MAX || self.known.contains_key(&(domain, id)) {
                self.known.insert((domain, id), Arc::new(template));
                learnt += 1;
            } else {
                return Err(Problem::new(
                    format!("more than {TEMPLATES_MAX} templates; a further one was left out"),
                    "an exporter invents templates; look at which one",
                ));
            }
            body = rest.unwrap_or_default();
        }
        Ok(learnt)
    }
}
