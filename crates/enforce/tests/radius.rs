//! A real FreeRADIUS takes what we emit, and gives devices all of it; and answers changes of authorisation.

mod support;

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use domain::Criticality;
use domain::net::{Mac, Transport};
use enforce::radius::client::{Change, ask};
use enforce::radius::packet::hide_password;
use enforce::radius::{Attribute, Code, FreeRadius, Packet};
use enforce::target::Target as _;
use segment::matrix::{Cell, Group, GroupId, Matrix, Mode, Service};

use support::{Middle, Site, has};

const SECRET: &[u8] = b"a secret of the laboratory";

const CONFIGURATION: &str = r"
name = asepsis
prefix = /usr
libdir = /usr/lib/freeradius
raddbdir = FOLDER
logdir = FOLDER
run_dir = FOLDER
log { destination = stdout }
client switch {
	ipaddr = 127.0.0.1
	secret = 'a secret of the laboratory'
	require_message_authenticator = yes
}
modules {
	files {
		filename = FOLDER/users
	}
	pap {
	}
	always ok {
		rcode = ok
	}
}
server devices {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = 1812
	}
	authorize {
		files
		pap
	}
	authenticate {
		Auth-Type PAP {
			pap
		}
	}
}
server change {
	listen {
		type = coa
		ipaddr = 127.0.0.1
		port = 3799
	}
	recv-coa {
		ok
	}
	send-coa {
		ok
	}
}
";

struct Server {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// FreeRADIUS in the middle namespace with these users.
fn server(site: &Site, users: &str) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_string_lossy().into_owned();
    let write = |name: &str, text: &str| {
        std::fs::write(Path::new(&path).join(name), text).expect("a file");
    };
    write("radiusd.conf", &CONFIGURATION.replace("FOLDER", &path));
    write("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n");
    write("users", users);
    let child = Command::new("ip")
        .args([
            "netns",
            "exec",
            &site.name("gate"),
            "freeradius",
            "-f",
            "-d",
            &path,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a server");
    let server = Server {
        child,
        _folder: folder,
    };
    let began = Instant::now();
    while !site.exec("gate", "ss -Hlnu").contains("127.0.0.1:3799") {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "FreeRADIUS does not start"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// What a device is answered that a switch lets in by its MAC address.
fn bypass(site: &Site, mac: &str) -> Packet {
    let authenticator = *b"0123456789abcdef";
    let hidden = hide_password(mac.as_bytes(), SECRET, authenticator).expect("short");
    let request = Packet {
        code: Code::AccessRequest,
        identifier: 1,
        authenticator,
        attributes: vec![
            Attribute::new(1, mac).expect("short"),
            Attribute::new(2, hidden).expect("short"),
            Attribute::new(4, [127, 0, 0, 1]).expect("short"),
        ],
    };
    let raw = request.write_access_request(SECRET).expect("short");
    site.inside("gate", || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        socket.send_to(&raw, "127.0.0.1:1812").expect("sent");
        let mut buffer = [0; 4096];
        let count = socket.recv(&mut buffer).expect("an answer");
        Packet::read_answer(&buffer[..count], SECRET, authenticator, false).expect("an answer")
    })
}

fn matrix(services: u16) -> Matrix {
    let group = |id, prefixes: &[&str], macs: &[Mac]| Group {
        id: GroupId(id),
        name: format!("Group {id}"),
        entity: format!("group-{id}").into(),
        criticality: Criticality::Clinical,
        prefixes: prefixes
            .iter()
            .map(|p| p.parse().expect("a prefix"))
            .collect(),
        addresses: Vec::new(),
        macs: macs.to_vec(),
    };
    Matrix {
        groups: vec![
            group(0, &[], &[]),
            group(
                1,
                &["10.1.0.0/24"],
                &[Mac([2, 0x11, 0x22, 0x33, 0x44, 0x55])],
            ),
            group(2, &["10.2.0.0/24"], &[]),
        ],
        cells: vec![Cell {
            from: GroupId(1),
            to: GroupId(2),
            services: (0..services)
                .map(|n| Service {
                    transport: Transport::Tcp,
                    ports: 11_000 + 2 * n..=11_000 + 2 * n,
                    name: format!("tcp/{}", 11_000 + 2 * n).into(),
                    clinical: None,
                })
                .collect(),
            mode: Mode::Enforce,
        }],
        default_mode: Mode::Enforce,
        digest: [7; 32],
    }
}

fn target() -> FreeRadius {
    FreeRadius {
        vlans: [(GroupId(1), 120)].into(),
        access_lists: true,
    }
}

fn pairs(answer: &Packet) -> Vec<String> {
    answer
        .attributes
        .iter()
        .filter_map(Attribute::vendors)
        .filter(|(vendor, kind, _)| (*vendor, *kind) == (9, 1))
        .map(|(_, _, value)| String::from_utf8_lossy(value).into_owned())
        .collect()
}

#[test]
fn the_longest_list_that_is_emitted_reaches_the_device_whole() {
    if !has("freeradius") || !has("ss") {
        return;
    }
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    // As many services as fit: one more is refused.
    let fits = (1..200)
        .rev()
        .find(|count| target().emit(&matrix(*count)).is_ok())
        .expect("one service fits");
    let refusal = target().emit(&matrix(fits + 1)).expect_err("one too many");
    assert!(refusal.to_string().contains("octets"), "{refusal}");
    let emitted = target().emit(&matrix(fits)).expect("fits");
    let _server = server(&site, &emitted.text);
    let answer = bypass(&site, "021122334455");
    assert_eq!(answer.code, Code::AccessAccept);
    assert_eq!(answer.values(64).next(), Some(&[0, 0, 0, 13][..]));
    assert_eq!(answer.values(65).next(), Some(&[0, 0, 0, 6][..]));
    let vlan = answer.values(81).next().expect("a VLAN");
    assert!(vlan.ends_with(b"120"), "{vlan:?}");
    let got = pairs(&answer);
    let wanted: Vec<String> = emitted
        .text
        .lines()
        .filter_map(|line| line.split_once("Cisco-AVPair += \"")?.1.split('"').next())
        .map(str::to_owned)
        .collect();
    assert!(wanted.len() > 40, "{}", wanted.len());
    assert_eq!(got, wanted, "entries were lost on the way");
    assert!(
        got.last()
            .is_some_and(|last| last.ends_with("deny ipv6 any any"))
    );
}

#[test]
fn a_device_that_no_group_has_is_not_let_in() {
    if !has("freeradius") || !has("ss") {
        return;
    }
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    let emitted = target().emit(&matrix(3)).expect("fits");
    let _server = server(&site, &emitted.text);
    assert_eq!(bypass(&site, "02ffffffffff").code, Code::AccessReject);
}

#[test]
fn a_change_of_authorisation_is_acknowledged_and_a_wrong_secret_is_told() {
    if !has("freeradius") || !has("ss") {
        return;
    }
    let Some(site) = Site::new(Middle::Router) else {
        return;
    };
    let _server = server(&site, "");
    let device = Mac([2, 0x11, 0x22, 0x33, 0x44, 0x55]);
    let patience = Duration::from_millis(1500);
    let switch = "127.0.0.1:3799".parse().expect("an address");
    site.inside("gate", || {
        let filter = Attribute::new(11, "QUARANTINE").expect("short");
        let change = Change::Authorize(vec![filter]);
        let answered = ask(switch, SECRET, device, &change, 1, patience, 2).expect("answered");
        assert!(answered.done, "{answered:?}");
        let answered =
            ask(switch, SECRET, device, &Change::Disconnect, 2, patience, 2).expect("answered");
        assert!(answered.done, "{answered:?}");
        let patience = Duration::from_millis(200);
        let refusal = ask(
            switch,
            b"another",
            device,
            &Change::Disconnect,
            3,
            patience,
            2,
        )
        .expect_err("nobody answers");
        assert!(refusal.to_string().contains("hint"), "{refusal}");
    });
}
