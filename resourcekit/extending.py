"""The extension API: all names that authors of extensions and data layers import."""

from __future__ import annotations

from resourcekit.actions.casting import CastError, compile_cast
from resourcekit.actions.drive import SyncAndAsync, drive, in_call_mode, off_loop
from resourcekit.actions.functions import (
    Function,
    MaybeRecordFunction,
    RecordFunction,
    RecordsFunction,
    ResourceFunction,
    function,
    maybe_record_function,
    record_function,
    records_function,
)
from resourcekit.actions.interface import action_of, run_action
from resourcekit.actions.notify import notifiers_of, notify_rows
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.call_context import CallMode, Deadline, ambient_context, apart, call_deadline, call_mode, is_async_function
from resourcekit.changeset import Changeset
from resourcekit.clock import Clock, current_clock
from resourcekit.data_layers.base import (
    Aggregate,
    Capability,
    DataLayer,
    Delete,
    DeleteInBatches,
    Insert,
    Lease,
    OnConflict,
    Operation,
    Plan,
    Reference,
    Row,
    Select,
    Store,
    TimeToLive,
    Transaction,
    UnsupportedExpression,
    Update,
)
from resourcekit.data_layers.rows.json_rows import JSONKeep, JSONRows
from resourcekit.data_layers.rows.store import RowsStore
from resourcekit.data_layers.rows.table import Draft
from resourcekit.data_layers.rows.values import require_keys
from resourcekit.declarations.action import (
    Action,
    CreateAction,
    DestroyAction,
    GenericAction,
    ReadAction,
    UpdateAction,
    Upsert,
)
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.builders import named
from resourcekit.declarations.change import Change
from resourcekit.declarations.core import AddPrimaryRead
from resourcekit.declarations.facts import Facts, State
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.preparation import Preparation
from resourcekit.declarations.relationships import Relationship
from resourcekit.declarations.validation import Validation
from resourcekit.declarations.value_type import Kind, ValueType, read_annotation
from resourcekit.discovery import find_resources
from resourcekit.dsl.diagnostics import Finding, Origin
from resourcekit.dsl.entity import Entity, EntityOptions, Word, extend
from resourcekit.dsl.extension import Check, Extension
from resourcekit.dsl.lazy import resolve
from resourcekit.dsl.option import Options, fields_of, option
from resourcekit.dsl.passes import Transformer, Verifier
from resourcekit.dsl.service import Service, ServiceContext
from resourcekit.environment import EnvironmentVariable
from resourcekit.errors import did_you_mean
from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Expression, Field, Greatest, In, Param, Value, all_of, any_of
from resourcekit.forks import free_after_fork
from resourcekit.known_names import KnownNames
from resourcekit.metaclass import registered
from resourcekit.plugins import PORT_VERSION, hookimpl
from resourcekit.resource import Resource as Template
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import BulkFailure, BulkResult, Outcome, WriteFailure, WriteResult, Written
from resourcekit.signals import raised_by_signal, require_no_signal
from resourcekit.telemetry import Measure, count, logger, measure

__all__ = [
    "PORT_VERSION",
    "Action",
    "AddPrimaryRead",
    "Aggregate",
    "Argument",
    "Attribute",
    "BulkFailure",
    "BulkResult",
    "CallMode",
    "Capability",
    "CastError",
    "Change",
    "Changeset",
    "Check",
    "Clock",
    "Constraints",
    "CreateAction",
    "DataLayer",
    "Deadline",
    "Delete",
    "DeleteInBatches",
    "DestroyAction",
    "Draft",
    "Entity",
    "EntityOptions",
    "EnvironmentVariable",
    "Expression",
    "Extension",
    "Facts",
    "Field",
    "Figure",
    "Finding",
    "Function",
    "GenericAction",
    "Greatest",
    "Identity",
    "In",
    "Index",
    "Insert",
    "JSONKeep",
    "JSONRows",
    "Kind",
    "KnownNames",
    "Lease",
    "MaybeRecordFunction",
    "Measure",
    "OnConflict",
    "Operation",
    "Options",
    "Origin",
    "Outcome",
    "Param",
    "Plan",
    "Preparation",
    "ReadAction",
    "RecordFunction",
    "RecordsFunction",
    "Reference",
    "Relationship",
    "ResourceFunction",
    "ResourceInfo",
    "Row",
    "RowsStore",
    "Runtime",
    "Select",
    "Service",
    "ServiceContext",
    "State",
    "Store",
    "SyncAndAsync",
    "Template",
    "TimeToLive",
    "Transaction",
    "Transformer",
    "UnsupportedExpression",
    "Update",
    "UpdateAction",
    "Upsert",
    "Validation",
    "Value",
    "ValueType",
    "Verifier",
    "Word",
    "WriteFailure",
    "WriteResult",
    "Written",
    "action_of",
    "all_of",
    "ambient_context",
    "any_of",
    "apart",
    "call_deadline",
    "call_mode",
    "checked_call",
    "compile_cast",
    "compile_expression",
    "count",
    "current_clock",
    "did_you_mean",
    "drive",
    "extend",
    "fields_of",
    "find_resources",
    "free_after_fork",
    "function",
    "hookimpl",
    "in_call_mode",
    "is_async_function",
    "logger",
    "maybe_record_function",
    "measure",
    "named",
    "notifiers_of",
    "notify_rows",
    "off_loop",
    "option",
    "raised_by_signal",
    "read_annotation",
    "record_function",
    "records_function",
    "registered",
    "require_keys",
    "require_no_signal",
    "resolve",
    "run_action",
    "runtime_of",
]
