//! What a terminal shows, as far as it matters here.

/// Reads what is drawn line by line.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    line: Vec<u8>,
    escape: bool,
    /// Lines that name a device above the bar: they begin with two blanks.
    pub(crate) devices: u64,
    /// Whether the bar told how fast it goes.
    pub(crate) rate: bool,
    /// Whether the bar told how long it will take.
    pub(crate) remaining: bool,
}

impl Screen {
    pub(crate) fn draw(&mut self, octets: &[u8]) {
        for octet in octets {
            match octet {
                0x1b => self.escape = true,
                // A control sequence ends with its letter.
                _ if self.escape => self.escape = !octet.is_ascii_alphabetic(),
                b'\r' | b'\n' => self.end(),
                octet => self.line.push(*octet),
            }
        }
    }

    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let named = line.strip_prefix("  ").is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_alphanumeric()) && rest.contains("  ")
        });
        self.devices += u64::from(named);
        self.rate |= line.contains("B/s");
        self.remaining |= line.contains(" left ");
        self.line.clear();
    }
}
