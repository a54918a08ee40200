//! How fast guests run, by tier: `cargo bench --bench execution`.
//!
//! Each kernel of `benches/kernels` in the interpreter, in native code made beforehand, and as it runs by default once all
//! that is hot is compiled. One iteration is one call of `run` with a small argument, in one instance. Before it is timed, a
//! fresh instance of every tier must give the interpreter's result.

mod setup;

use crescendo::{Func, Instance, Module, Store, Val, ValType};
use criterion::Criterion;
use setup::Tier;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long a kernel runs before it is timed, for the counters of everything hot to run out.
const WARM_UP: Duration = Duration::from_millis(200);

/// A kernel in an instance of its own.
struct Guest {
    store: Store<()>,
    run: Func,
    argument: Val,
    result: [Val; 1],
}

impl Guest {
    fn new(module: &Module, argument: i64) -> Guest {
        let mut store = Store::new(module.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).expect("kernels import nothing");
        let run = instance.get_func(&store, "run").expect("kernels export it");
        let ty = run.ty(&store);
        let argument = match ty.params() {
            [ValType::I32] => Val::I32(i32::try_from(argument).expect("a small argument")),
            _ => Val::I64(argument),
        };
        let result = [Val::default_for_ty(&ty.results()[0]).expect("a number")];
        Guest { store, run, argument, result }
    }

    /// Calls `run`; its result is left in `result`.
    fn call(&mut self) -> &Val {
        let argument = black_box(&self.argument);
        self.run.call(&mut self.store, std::slice::from_ref(argument), &mut self.result).expect("it returns");
        &self.result[0]
    }
}

/// A kernel that runs where its tier says, and computes what it should.
fn ready(tier: Tier, wasm: &[u8], argument: i64) -> Option<Guest> {
    let module = Module::new(&tier.engine()?, wasm).expect("a valid module");
    let reference = Module::new(&Tier::Interpreter.engine()?, wasm).expect("a valid module");
    let expected = format!("{:?}", Guest::new(&reference, argument).call());
    let mut guest = Guest::new(&module, argument);
    assert_eq!(format!("{:?}", guest.call()), expected, "{tier:?}");
    if tier == Tier::Dynamic {
        // The second round finds calls that only the code of the first made hot.
        for _ in 0..2 {
            let started = Instant::now();
            while started.elapsed() < WARM_UP {
                black_box(guest.call());
            }
            setup::settle(&module);
        }
        assert_eq!(format!("{:?}", Guest::new(&module, argument).call()), expected, "{tier:?}");
    }
    let native = module.tiering_report().functions.iter().any(|function| function.code_bytes > 0);
    assert_eq!(native, tier != Tier::Interpreter, "{}", module.tiering_report());
    Some(guest)
}

fn execution(criterion: &mut Criterion) {
    for (name, argument) in setup::KERNELS {
        let wasm = setup::kernel(name);
        let mut group = criterion.benchmark_group(format!("execution/{name}"));
        for tier in Tier::ALL.into_iter().filter(|tier| tier.engine().is_some()) {
            // Made when it is needed, which with a filter is seldom.
            let mut guest = None;
            group.bench_function(tier.name(), |bencher| {
                let guest = guest.get_or_insert_with(|| ready(tier, &wasm, argument).expect("an engine"));
                bencher.iter(|| {
                    black_box(guest.call());
                });
            });
        }
        group.finish();
    }
}

fn main() {
    let mut criterion = setup::criterion();
    execution(&mut criterion);
    criterion.final_summary();
}
