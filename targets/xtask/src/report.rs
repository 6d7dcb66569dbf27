use std::fs;

use tables::{Document, Table};

use crate::heap::{self, Code};
use crate::target::{self, TARGETS, Target, succeed};
use crate::{Result, elf};

const README: &str = "targets/README.md";
/// The manifest of the programs that are measured.
pub(crate) const MEASURE: &str = "targets/measure/Cargo.toml";
/// The highest number of bytes that the functions of `FixedBlock` may need together on
/// `LIMITED_TARGET`.
const LIMIT: u64 = 160;
pub(crate) const LIMITED_TARGET: &str = "thumbv7m-none-eabi";
const FOOTPRINT_TARGETS: [&str; 3] = ["thumbv6m-none-eabi", LIMITED_TARGET, "riscv32imac-unknown-none-elf"];
const PEERS: [&str; 4] = ["linked_list_allocator", "rlsf", "buddy_system_allocator", "heapless"];

/// Parts of the names of the functions that `SizeClasses` needs to allocate and free. One
/// of them is `clz`, because a Cortex-M0 counts leading zeros in software.
pub(crate) const SIZE_CLASSES: [&str; 7] =
    ["footprint_allocate", "footprint_deallocate", "size_classes", "size_table", "carver", "take_pages", "clz"];

/// The names of the tables in the README.
const SECTIONS: [&str; 8] = [
    "footprint",
    "instructions",
    "heap instructions",
    "heap worst case",
    "heap traces",
    "heap peers",
    "heap programs",
    "hardened instructions",
];

/// Measures, and writes the tables of the README, or checks that no figure exceeds them.
pub(crate) fn run(check: bool) -> Result<()> {
    let mut readme = Document::read(README)?;
    for name in SECTIONS {
        readme.section(name)?;
    }
    let heap = heap::Heap::measure()?;
    let instructions = Instructions::measure()?;
    let (footprint, bytes) = footprint(&instructions)?;
    let front = fs::read_to_string("README.md")?.split_whitespace().collect::<Vec<_>>().join(" ");
    for summary in [instructions.summary(bytes), instructions.heap_summary(), heap.summary()?] {
        if !front.contains(&summary) {
            return Err(format!("README.md does not say: {summary}").into());
        }
    }
    let committed = readme.text().to_owned();
    let tables = [
        footprint,
        instructions.operations.table(),
        instructions.heap_operations.table(),
        heap.worst_table(),
        heap.traces_table(),
        heap.peers_table(),
        heap.programs_table(),
        instructions.hardened_operations.table(),
    ];
    for (name, table) in SECTIONS.into_iter().zip(tables) {
        println!("{table}");
        if check {
            let percent = match name {
                // The number of steps of a search in a hardened build depends on the
                // addresses that the linker chooses.
                "hardened instructions" => 40,
                // The search for the worst state takes another path if any cost changes.
                "heap worst case" => 15,
                _ => 0,
            };
            readme.no_growth_beyond(name, &without_peers(&table), percent)?;
        }
        readme.replace(name, &table)?;
    }
    heap.check()?;
    if !check {
        readme.write()?;
    } else if readme.text() != committed {
        println!("some figures are lower than those in {README}: `cargo xtask report` writes them down");
    }
    Ok(())
}

/// Returns the rows of hpalloc.
fn without_peers(table: &str) -> String {
    let ours = |line: &&str| !PEERS.iter().any(|peer| line.contains(peer));
    table.lines().filter(ours).collect::<Vec<_>>().join("\n")
}

/// Returns the table of code size and RAM, and the code size of `FixedBlock` on the
/// limited target.
fn footprint(instructions: &Instructions) -> Result<(String, u64)> {
    let functions = [
        ("`FixedBlock::with_block_size`", "footprint_with_block_size"),
        ("`FixedBlock::allocate`", "footprint_allocate"),
        ("its refill, with the arena's part", "refill"),
        ("`FixedBlock::deallocate`", "footprint_deallocate"),
        ("`Arena::alloc_page`", "footprint_alloc_page"),
    ];
    let mut rows: Vec<(String, Vec<String>)> =
        functions.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
    let mut sums = Vec::new();
    let mut limited = 0;
    let mut heap = Vec::new();
    let mut heap_program = Vec::new();
    let (mut code, mut code_library, mut any_size_program) = (Vec::new(), Vec::new(), Vec::new());
    let mut hardened_program = Vec::new();
    let mut peers = vec![Vec::new(); PEERS.len() + 1];
    for triple in FOOTPRINT_TARGETS {
        let target = target::find(triple)?;
        let build = |features| build_footprint(target, features, "footprint", false);
        let build_hardened = |features| build_footprint(target, features, "footprint", true);
        // A Cortex-M0 has no division instruction, so a division would link a function.
        let unwanted = |name: &str| name.contains("div") || name.contains("panic");
        let (silent, silent_heap) = (build("hpalloc,silent")?, build("size_classes,silent")?);
        if let Some(function) = silent.functions.iter().chain(&silent_heap.functions).find(|it| unwanted(&it.name)) {
            return Err(format!("hpalloc links {} on {triple}", function.name).into());
        }
        let nothing = build("")?;
        let program = build("hpalloc")?;
        let sizes: Vec<u64> = functions
            .iter()
            .map(|(_, symbol)| Ok(program.function(symbol)?.code.len() as u64))
            .collect::<Result<_>>()?;
        for ((_, cells), size) in rows.iter_mut().zip(&sizes) {
            cells.push(size.to_string());
        }
        // The sum leaves out the last function, which is the arena's.
        let sum: u64 = sizes[..4].iter().sum();
        if triple == LIMITED_TARGET {
            limited = sum;
        }
        if limited > LIMIT {
            return Err(format!("the code of FixedBlock is {sum} bytes on {triple}: the limit is {LIMIT}").into());
        }
        sums.push(sum.to_string());
        let of_heap = |name: &str| SIZE_CLASSES.iter().any(|part| name.contains(part));
        let heap_functions = silent_heap.functions.iter().filter(|function| of_heap(&function.name));
        heap.push(heap_functions.map(|function| function.code.len()).sum::<usize>().to_string());
        heap_program.push((build("size_classes")?.size - nothing.size).to_string());
        let any_size = Code::measure(target)?;
        println!("{triple}: a `Heap` also links {}", any_size.library_names.join(", "));
        code.push(any_size.functions.to_string());
        code_library.push(any_size.library.to_string());
        any_size_program.push((build("heap")?.size - nothing.size).to_string());
        hardened_program.push((build_hardened("hpalloc")?.size - nothing.size).to_string());
        peers[0].push((program.size - nothing.size).to_string());
        for (peer, cells) in PEERS.iter().zip(&mut peers[1..]) {
            // A pool of heapless needs LL/SC or a double-word compare-and-swap.
            let has_it = *peer != "heapless" || triple == LIMITED_TARGET;
            cells.push(if has_it {
                (build(peer)?.size - nothing.size).to_string()
            } else {
                "not available".to_owned()
            });
        }
    }
    rows.insert(4, ("**`FixedBlock` together**".to_owned(), sums));
    rows.push(("`SizeClasses::allocate` and `deallocate`, with all that they call".to_owned(), heap));
    rows.push(("`Heap`: `allocate`, `deallocate`, `grow` and `shrink`, with all that they call".to_owned(), code));
    rows.push(("and what they link of the compiler's library, such as `memmove`".to_owned(), code_library));
    let ram = |bytes: &[String]| FOOTPRINT_TARGETS.map(|triple| bytes[position(triple)].clone());
    rows.push(("RAM of an `Arena`".to_owned(), ram(&instructions.arena_bytes).to_vec()));
    rows.push(("RAM of a `FixedBlock`".to_owned(), ram(&instructions.pool_bytes).to_vec()));
    rows.push(("RAM of a `SizeClasses` with the default sizes".to_owned(), ram(&instructions.heap_bytes).to_vec()));
    rows.push(("its table, in flash".to_owned(), ram(&instructions.table_bytes).to_vec()));
    rows.push(("metadata per block".to_owned(), ram(&instructions.metadata_bytes).to_vec()));
    rows.push(("program with hpalloc".to_owned(), peers.remove(0)));
    rows.push(("program with hpalloc, `hardened`".to_owned(), hardened_program));
    rows.push(("program with hpalloc's `SizeClasses`".to_owned(), heap_program));
    rows.push(("program with hpalloc's `Heap`".to_owned(), any_size_program));
    rows.extend(PEERS.iter().map(|peer| format!("program with `{peer}`")).zip(peers));

    let mut table = Table::new("bytes", &FOOTPRINT_TARGETS);
    for (name, cells) in rows {
        table.row(&name, cells);
    }
    Ok((table.into_text(), limited))
}

/// Builds the program `footprint` with the allocator that the features select, or with
/// none.
pub(crate) fn build_footprint(target: &Target, features: &str, profile: &str, hardened: bool) -> Result<elf::Program> {
    build(target, "footprint", features, profile, hardened)
}

/// Builds a program of `hpalloc-measure`.
pub(crate) fn build(
    target: &Target,
    program: &str,
    features: &str,
    profile: &str,
    hardened: bool,
) -> Result<elf::Program> {
    let mut cargo = target.cargo("build")?;
    cargo.args(["--profile", profile, "--manifest-path", MEASURE, "--bin", program, "--features", features]);
    if hardened {
        target::harden(&mut cargo, profile, &["hpalloc", "hpalloc-measure"]);
    }
    if features == "heapless" {
        // The build script of heapless detects LL/SC with a probe that needs a
        // precompiled `core`.
        cargo.args(["--config", &format!("target.{}.rustflags=['--cfg=arm_llsc']", target.triple)]);
    }
    succeed(&mut cargo)?;
    elf::read(&target.binary(profile, program))
}

fn position(triple: &str) -> usize {
    TARGETS.iter().position(|target| target.triple == triple).expect("one of the targets")
}

/// The figures that the programs `instructions` and `heap_instructions` printed on each
/// target.
#[derive(Default)]
struct Instructions {
    arena_bytes: Vec<String>,
    pool_bytes: Vec<String>,
    heap_bytes: Vec<String>,
    table_bytes: Vec<String>,
    metadata_bytes: Vec<String>,
    operations: Operations,
    heap_operations: Operations,
    hardened_operations: Operations,
}

impl Instructions {
    fn measure() -> Result<Self> {
        let mut measured = Self::default();
        for target in &TARGETS {
            measured.run(target, "instructions", false)?;
            measured.run(target, "heap_instructions", false)?;
            measured.run(target, "instructions", true)?;
        }
        Ok(measured)
    }

    fn run(&mut self, target: &Target, program: &str, hardened: bool) -> Result<()> {
        let mut cargo = target.cargo("build")?;
        cargo.args(["--release", "--manifest-path", MEASURE, "--bin", program]);
        if hardened {
            target::harden(&mut cargo, "release", &["hpalloc", "hpalloc-measure"]);
        }
        succeed(&mut cargo)?;
        let output = target.run(&target.binary("release", program))?;
        let text = String::from_utf8(output.stdout)?;
        if !output.status.success() {
            return Err(format!("counting on {} failed with {}:\n{text}", target.triple, output.status).into());
        }
        for line in text.lines() {
            let (name, value) = line.rsplit_once(": ").ok_or_else(|| format!("{}: {line}", target.triple))?;
            match name {
                _ if name.starts_with("bytes") && hardened => {}
                "bytes of an Arena" => self.arena_bytes.push(value.to_owned()),
                "bytes of a FixedBlock" => self.pool_bytes.push(value.to_owned()),
                "bytes of a SizeClasses" => self.heap_bytes.push(value.to_owned()),
                "bytes of a table" => self.table_bytes.push(value.to_owned()),
                "bytes of metadata per block" => self.metadata_bytes.push(value.to_owned()),
                _ if hardened => self.hardened_operations.record(target, name, value, true)?,
                _ if program == "instructions" => self.operations.record(target, name, value, false)?,
                _ => self.heap_operations.record(target, name, value, false)?,
            }
        }
        Ok(())
    }

    /// Returns the sentence about the limited target that the README at the root must
    /// contain. `bytes` is the code size of `FixedBlock` there.
    fn summary(&self, bytes: u64) -> String {
        let target = position(LIMITED_TARGET);
        let most = |operation: usize| self.operations.0[operation].1[target].1;
        format!(
            "{} instructions for a freed block, {} for a block never used before, {} with a new page, and {} to free; \
             {bytes} bytes of code, {} bytes of RAM per pool",
            most(0),
            most(1),
            most(2),
            most(4),
            self.pool_bytes[target],
        )
    }

    /// Returns the sentence about size classes on the limited target: about small
    /// requests, and about requests of any layout.
    fn heap_summary(&self) -> String {
        let target = position(LIMITED_TARGET);
        let most = |names: fn(&str) -> bool| {
            let operations = self.heap_operations.0.iter().filter(|(name, _)| names(name));
            operations.map(|(_, costs)| costs[target].1).max().unwrap_or(0)
        };
        format!(
            "{} instructions for a small request, {} with a new page, {} to free; at most {} and {} for any layout",
            most(|name| name == "small: allocate, from the free list"),
            most(|name| name == "small: allocate, with a refill"),
            most(|name| name == "small: deallocate"),
            most(|name| name.contains(": allocate")),
            most(|name| name.contains(": deallocate")),
        )
    }
}

/// Operations by name, with the fewest and the most instructions of each on each target.
#[derive(Default)]
struct Operations(Vec<(String, Vec<(u64, u64)>)>);

impl Operations {
    /// Adds the costs of an operation: the lowest and the highest, and optionally the
    /// costs with few, more and all blocks live. Only in a hardened build may those
    /// differ.
    fn record(&mut self, target: &Target, name: &str, value: &str, hardened: bool) -> Result<()> {
        let costs: Vec<u64> = value.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let (&[least, most], by_live) = costs.split_first_chunk().ok_or_else(|| format!("{name}: {value}"))?;
        if !hardened && by_live.iter().any(|cost| *cost != by_live[0]) {
            return Err(format!("{name}: the cost depends on how many blocks are live: {by_live:?}").into());
        }
        let index = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        let targets = &mut self.0[index].1;
        targets.resize(position(target.triple) + 1, (u64::MAX, 0));
        let costs = &mut targets[position(target.triple)];
        *costs = (costs.0.min(least), costs.1.max(most));
        Ok(())
    }

    /// Returns the table of instructions.
    fn table(&self) -> String {
        let mut table = Table::new("instructions", &TARGETS.map(|target| target.triple));
        for (name, costs) in &self.0 {
            table.row(&format!("{name}: minimum"), costs.iter().map(|(least, _)| least.to_string()));
            table.row(&format!("{name}: **maximum**"), costs.iter().map(|(_, most)| most.to_string()));
        }
        table.into_text()
    }
}
