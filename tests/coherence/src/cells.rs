//! What is read and written: cells, each a row with a version and one cached entry.

/// Which annotated function, and so which way of caching, a cell belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Tags from the arguments.
    Plain,
    /// Tags from the value, a life that each hit lengthens.
    Valued,
    /// No tags: a writer's value takes the place of what is stored.
    Bare,
    /// A short ttl, refreshed ahead and in the background, served stale on errors.
    Brief,
    /// Operations by hand.
    Hand,
    /// A namespace of its own, loads that outlive their callers.
    Apart,
}

pub const FLAVORS: [Flavor; 6] =
    [Flavor::Plain, Flavor::Valued, Flavor::Bare, Flavor::Brief, Flavor::Hand, Flavor::Apart];

/// Few, so that loads and invalidations of one cell meet all the time.
pub const IDS: u32 = 16;
const GROUP: u32 = 4;

pub const CELLS: usize = FLAVORS.len() * IDS as usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub flavor: Flavor,
    pub id: u32,
}

impl Cell {
    pub fn all() -> impl Iterator<Item = Self> {
        FLAVORS.into_iter().flat_map(|flavor| (0..IDS).map(move |id| Self { flavor, id }))
    }

    /// Every other choice falls on the first cell of a flavor.
    pub fn random() -> Self {
        let flavor = FLAVORS[fastrand::usize(..FLAVORS.len())];
        Self { flavor, id: if fastrand::bool() { 0 } else { fastrand::u32(..IDS) } }
    }

    pub fn index(self) -> usize {
        self.flavor as usize * IDS as usize + self.id as usize
    }

    pub fn group(self) -> u32 {
        self.id / GROUP
    }

    pub fn key(self) -> String {
        format!("{}:{}:{}", self.prefix(), self.group(), self.id)
    }

    pub fn tag(self) -> String {
        format!("{}-{}", self.prefix(), self.group())
    }

    /// Matches the keys of this cell's group.
    pub fn pattern(self) -> String {
        format!("{}:{}:*", self.prefix(), self.group())
    }

    /// The cells under the same tag, which are those that the pattern matches.
    pub fn neighbours(self) -> impl Iterator<Item = Self> {
        Self::all().filter(move |other| other.flavor == self.flavor && other.group() == self.group())
    }

    /// The cells of the same namespace.
    pub fn compatriots(self) -> impl Iterator<Item = Self> {
        Self::all().filter(move |other| (other.flavor == Flavor::Apart) == (self.flavor == Flavor::Apart))
    }

    fn prefix(self) -> &'static str {
        match self.flavor {
            Flavor::Plain => "plain",
            Flavor::Valued => "valued",
            Flavor::Bare => "bare",
            Flavor::Brief => "brief",
            Flavor::Hand => "hand",
            Flavor::Apart => "apart",
        }
    }
}
