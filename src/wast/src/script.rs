//! Executes the directives of a script.
//!
//! A [`Runner`] holds what directives refer to: the instance that the last `module` made, instances and definitions by name,
//! and the linker with the registered names. A module that cannot run leaves its [`Stop`] in the place of its instance, so
//! that everything that builds on it stops for the same reason.

use std::collections::HashMap;

use crescendo::{Config, Engine, Error, Extern, Instance, Linker, Module, Store, ThrownException, Val};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::messages::{self, Stop};
use crate::report::{Failure, Report, Skip};
use crate::{Options, spectest, values};

/// Runs a script; see [`crate::run`].
pub(crate) fn run(config: &Config, name: &str, text: &str, options: &Options) -> Report {
    let mut report = Report::default();
    let fail = |report: &mut Report, line, message| report.failed.push(Failure { line, message });
    let mut lexer = Lexer::new(text);
    // Scripts test names with such characters.
    lexer.allow_confusing_unicode(true);
    let line = |error: &wast::Error| error.span().linecol_in(text).0 + 1;
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => {
            fail(&mut report, line(&error), format!("cannot read the script {name}: {}", error.message()));
            return report;
        }
    };
    let script = match parser::parse::<Wast<'_>>(&buffer) {
        Ok(script) => script,
        Err(error) => {
            fail(&mut report, line(&error), format!("cannot parse the script {name}: {}", error.message()));
            return report;
        }
    };
    let mut runner = match Runner::new(config) {
        Ok(runner) => runner,
        Err(error) => {
            fail(&mut report, 1, format!("cannot set up the script {name}: {error:#}"));
            return report;
        }
    };
    for directive in script.directives {
        let line = directive.span().linecol_in(text).0 + 1;
        match runner.directive(directive) {
            Ok(()) => report.passed += 1,
            Err(Stop::Missing(proposal)) if options.allows(&proposal) => {
                report.skipped.push(Skip { line, proposal });
            }
            Err(Stop::Missing(proposal)) => {
                fail(&mut report, line, format!("needs a proposal that is not supported: {proposal}"));
            }
            Err(Stop::Failed(message)) => fail(&mut report, line, message),
        }
    }
    report
}

/// An instance, or why there is none.
type Slot = Result<Instance, Stop>;

struct Runner {
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    /// What the last `module` directive made.
    current: Slot,
    instances: HashMap<String, Slot>,
    definitions: HashMap<String, Result<Module, Stop>>,
    /// What the last `module definition` directive made.
    last_definition: Option<Result<Module, Stop>>,
    /// Whether the engine reads the text format, too: then bytes without the magic number are text to it, and it cannot be
    /// asked whether they are a malformed binary.
    reads_text: bool,
    /// Names under which instances were to be registered that do not exist, and why.
    unregistered: HashMap<String, Stop>,
}

impl Runner {
    fn new(config: &Config) -> Result<Runner, Error> {
        let engine = Engine::new(config)?;
        let mut store = Store::new(&engine, ());
        // Fails when the configuration consumes no fuel, and then none is needed.
        let _ = store.set_fuel(u64::MAX);
        let mut linker = Linker::new(&engine);
        linker.allow_shadowing(true);
        spectest::define(&engine, &mut store, &mut linker)?;
        Ok(Runner {
            reads_text: Module::validate(&engine, "(module)").is_ok(),
            engine,
            store,
            linker,
            current: Err(Stop::failed("no module was instantiated before")),
            instances: HashMap::new(),
            definitions: HashMap::new(),
            last_definition: None,
            unregistered: HashMap::new(),
        })
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<(), Stop> {
        match directive {
            WastDirective::Module(mut module) => {
                let name = module.name();
                let slot = self.compile(&mut module).and_then(|module| self.instantiate(&module));
                self.keep(name, slot)
            }
            WastDirective::ModuleDefinition(mut module) => {
                let name = module.name();
                let module = self.compile(&mut module);
                let outcome = module.as_ref().map(|_| ()).map_err(Stop::clone);
                if let Some(name) = name {
                    self.definitions.insert(name.name().to_owned(), module.clone());
                }
                self.last_definition = Some(module);
                outcome
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let slot = self.definition(module).and_then(|module| self.instantiate(&module));
                self.keep(instance, slot)
            }
            WastDirective::Register { name, module, .. } => self.register(name, module),
            WastDirective::Invoke(invoke) => self.invoke(&invoke)?.map(|_| ()).map_err(unexpected_call),
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => match self.execute(exec)? {
                Ok(values) => Err(returned(&format!("the trap `{message}`"), &values)),
                Err(error) => messages::check_trap(&error, message),
            },
            WastDirective::AssertExhaustion { call, message, .. } => match self.invoke(&call)? {
                Ok(values) => Err(returned(&format!("the trap `{message}`"), &values)),
                Err(error) => messages::check_trap(&error, message),
            },
            WastDirective::AssertUnlinkable { module, message, .. } => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                self.check_registered(&module)?;
                match self.linker.instantiate(&mut self.store, &module) {
                    Ok(_) => {
                        Err(Stop::failed(format!("expected the link error `{message}`, it instantiated")))
                    }
                    Err(error) => messages::check_unlinkable(&error, message),
                }
            }
            WastDirective::AssertInvalid { mut module, message, .. }
            | WastDirective::AssertMalformed { mut module, message, .. } => {
                self.assert_refused(&mut module, message)
            }
            WastDirective::AssertMalformedCustom { mut module, message, .. }
            | WastDirective::AssertInvalidCustom { mut module, message, .. } => match module.encode() {
                Err(_) => Ok(()),
                Ok(_) => Err(Stop::failed(format!("the custom section is accepted: {message}"))),
            },
            WastDirective::AssertException { exec, .. } => match self.execute(exec)? {
                Ok(values) => Err(returned("an exception", &values)),
                Err(error) if error.is::<ThrownException>() => Ok(()),
                Err(error) => Err(Stop::unexpected("expected an exception, found the error", &error)),
            },
            WastDirective::AssertSuspension { .. } => Err(missing("stack switching")),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => Err(missing("threads")),
        }
    }

    /// Encodes and compiles a module that should be valid.
    fn compile(&self, module: &mut QuoteWat<'_>) -> Result<Module, Stop> {
        if is_component(module) {
            return Err(missing("component model"));
        }
        let bytes = module.encode().map_err(|e| Stop::failed(format!("cannot encode: {}", e.message())))?;
        Module::new(&self.engine, bytes).map_err(|error| Stop::unexpected("the module is refused", &error))
    }

    fn instantiate(&mut self, module: &Module) -> Slot {
        self.check_registered(module)?;
        self.linker
            .instantiate(&mut self.store, module)
            .map_err(|error| Stop::unexpected("the module does not instantiate", &error))
    }

    /// Stops a module that imports from an instance which could not be made.
    fn check_registered(&self, module: &Module) -> Result<(), Stop> {
        match module.imports().find_map(|import| self.unregistered.get(import.module())) {
            Some(stop) => Err(stop.clone()),
            None => Ok(()),
        }
    }

    /// Makes `slot` the current instance, and the one called `name`.
    fn keep(&mut self, name: Option<Id<'_>>, slot: Slot) -> Result<(), Stop> {
        let outcome = slot.as_ref().map(|_| ()).map_err(Stop::clone);
        // What builds on it shall not repeat the message.
        let slot = slot.map_err(|stop| match stop {
            Stop::Failed(_) => Stop::failed("its module did not instantiate"),
            missing => missing,
        });
        if let Some(name) = name {
            self.instances.insert(name.name().to_owned(), slot.clone());
        }
        self.current = slot;
        outcome
    }

    fn instance(&self, name: Option<Id<'_>>) -> Slot {
        match name {
            None => self.current.clone(),
            Some(name) => match self.instances.get(name.name()) {
                Some(slot) => slot.clone(),
                None => Err(Stop::failed(format!("no instance is called ${}", name.name()))),
            },
        }
    }

    fn definition(&self, name: Option<Id<'_>>) -> Result<Module, Stop> {
        let definition = match name {
            None => self.last_definition.as_ref(),
            Some(name) => self.definitions.get(name.name()),
        };
        definition.cloned().unwrap_or_else(|| Err(Stop::failed("there is no such module definition")))
    }

    fn register(&mut self, name: &str, module: Option<Id<'_>>) -> Result<(), Stop> {
        let instance = match self.instance(module) {
            Ok(instance) => instance,
            Err(stop) => {
                self.unregistered.insert(name.to_owned(), stop.clone());
                return Err(stop);
            }
        };
        self.unregistered.remove(name);
        self.linker
            .instance(&mut self.store, name, instance)
            .map(|_| ())
            .map_err(|error| Stop::unexpected("cannot register", &error))
    }

    fn assert_return(&mut self, exec: WastExecute<'_>, expected: &[WastRet<'_>]) -> Result<(), Stop> {
        let found = self.execute(exec)?.map_err(unexpected_call)?;
        values::check_results(&self.store, &found, expected)
    }

    /// The inner result is the guest's; the outer error says why there is none.
    fn execute(&mut self, exec: WastExecute<'_>) -> Result<Result<Vec<Val>, Error>, Stop> {
        match exec {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Wat(module) => {
                let module = self.compile(&mut QuoteWat::Wat(module))?;
                self.check_registered(&module)?;
                let instance = self.linker.instantiate(&mut self.store, &module);
                Ok(instance.map(|_| Vec::new()))
            }
            WastExecute::Get { module, global, .. } => {
                let instance = self.instance(module)?;
                match instance.get_export(&mut self.store, global) {
                    Some(Extern::Global(global)) => Ok(Ok(vec![global.get(&mut self.store)])),
                    _ => Err(Stop::failed(format!("there is no exported global `{global}`"))),
                }
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Result<Vec<Val>, Error>, Stop> {
        let instance = self.instance(invoke.module)?;
        let Some(func) = instance.get_func(&mut self.store, invoke.name) else {
            return Err(Stop::failed(format!("there is no exported function `{}`", invoke.name)));
        };
        let arg = |arg: &WastArg<'_>| values::argument(&mut self.store, arg);
        let args = invoke.args.iter().map(arg).collect::<Result<Vec<_>, Stop>>()?;
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        Ok(func.call(&mut self.store, &args, &mut results).map(|()| results))
    }

    /// Checks that a module is malformed or invalid; which error says so is left open.
    fn assert_refused(&self, module: &mut QuoteWat<'_>, message: &str) -> Result<(), Stop> {
        if is_component(module) {
            return Err(missing("component model"));
        }
        let Ok(bytes) = module.encode() else {
            return Ok(());
        };
        if self.reads_text && !bytes.starts_with(b"\0asm") {
            return Ok(());
        }
        // Not `Module::new`: with lazy validation it would leave function bodies unchecked.
        match Module::validate(&self.engine, &bytes) {
            Ok(()) => Err(Stop::failed(format!("the module is accepted, expected `{message}`"))),
            Err(error) => messages::check_refused(&error, message),
        }
    }
}

fn is_component(module: &QuoteWat<'_>) -> bool {
    matches!(module, QuoteWat::QuoteComponent(..) | QuoteWat::Wat(Wat::Component(_)))
}

fn missing(proposal: &str) -> Stop {
    Stop::Missing(proposal.to_owned())
}

fn unexpected_call(error: Error) -> Stop {
    Stop::unexpected("the call failed", &error)
}

fn returned(expected: &str, values: &[Val]) -> Stop {
    Stop::failed(format!("expected {expected}, it returned {} results", values.len()))
}
