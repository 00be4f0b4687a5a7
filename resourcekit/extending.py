"""The workshop door: what authors of extensions and data layers import."""

from __future__ import annotations

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
    Row,
    Select,
    Store,
    TimeToLive,
    Transaction,
    UnsupportedExpression,
    Update,
)
from resourcekit.data_layers.rows.json_rows import JSONKeep, JSONRows
from resourcekit.data_layers.rows.keys import require_keys
from resourcekit.data_layers.rows.store import RowsStore
from resourcekit.data_layers.rows.table import Draft
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
from resourcekit.declarations.change import Change
from resourcekit.declarations.core import AddPrimaryRead
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.preparation import Preparation
from resourcekit.declarations.state import State
from resourcekit.declarations.validation import Validation
from resourcekit.declarations.value_type import Kind, ValueType, read_annotation
from resourcekit.declarations.words import named
from resourcekit.discovery import find_resources
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.extension import Check, Extension
from resourcekit.dsl.finding import Finding
from resourcekit.dsl.option import Options, fields_of, option
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.service import Service, ServiceContext
from resourcekit.dsl.transformer import Transformer
from resourcekit.dsl.verifier import Verifier
from resourcekit.engine.drive import BothColours, drive, in_colour, off_loop
from resourcekit.engine.functions import (
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
from resourcekit.engine.interface import action_of, run_action
from resourcekit.engine.runtime import Runtime, runtime_of
from resourcekit.errors import did_you_mean
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.clock import Clock, current_clock
from resourcekit.flow.context import ambient_context
from resourcekit.flow.environment import EnvironmentVariable
from resourcekit.flow.evaluation import compile_expression
from resourcekit.flow.expression import Expression, Field, Greatest, In, Param, Value, all_of, any_of
from resourcekit.flow.result import BulkFailure, BulkResult, Outcome, WriteFailure, WriteResult
from resourcekit.plugins import hookimpl
from resourcekit.resource import Resource as Template
from resourcekit.resource import registered
from resourcekit.resource_info import ResourceInfo
from resourcekit.telemetry import Measure, count, logger, measure

__all__ = [
    "Action",
    "AddPrimaryRead",
    "Aggregate",
    "Argument",
    "Attribute",
    "BothColours",
    "BulkFailure",
    "BulkResult",
    "Capability",
    "Change",
    "Changeset",
    "Check",
    "Clock",
    "Constraints",
    "CreateAction",
    "DataLayer",
    "Delete",
    "DeleteInBatches",
    "DestroyAction",
    "Draft",
    "Entity",
    "EnvironmentVariable",
    "Expression",
    "Extension",
    "Facts",
    "Field",
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
    "action_of",
    "all_of",
    "ambient_context",
    "any_of",
    "compile_expression",
    "count",
    "current_clock",
    "did_you_mean",
    "drive",
    "fields_of",
    "find_resources",
    "function",
    "hookimpl",
    "in_colour",
    "logger",
    "maybe_record_function",
    "measure",
    "named",
    "off_loop",
    "option",
    "read_annotation",
    "record_function",
    "records_function",
    "registered",
    "require_keys",
    "run_action",
    "runtime_of",
]
