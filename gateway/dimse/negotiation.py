"""What an association request asks for, and the answer to it (PS3.8, 7.1; PS3.7, annex D)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext

from gateway.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.dimse.pdu import INVALID_PARAMETER
from gateway.dimse.syntaxes import COMMITMENT, VERIFICATION, choose_syntax, is_storage
from gateway.exceptions import PduError

ACCEPTED, NO_ABSTRACT, NO_TRANSFER = 0, 3, 4
"""Results of a presentation context."""

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"


@dataclass(frozen=True, slots=True)
class Context:
    """One accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """An association request."""

    called: str
    calling: str
    application_context: str
    max_pdu_bytes: int
    """What the peer takes; 0 is without limit."""

    primitive: A_ASSOCIATE = field(repr=False)


def read_proposal(body: bytes) -> Proposal:
    """Read the body of an A-ASSOCIATE-RQ.

    Raises
    ------
    PduError
        Whatever is wrong with it.
    """
    pdu = A_ASSOCIATE_RQ()
    try:
        pdu.decode(b"\x01\x00" + len(body).to_bytes(4, "big") + body)
        primitive = pdu.to_primitive()
        return Proposal(
            called=str(primitive.called_ae_title).strip(),
            calling=str(primitive.calling_ae_title).strip(),
            application_context=str(primitive.application_context_name or ""),
            max_pdu_bytes=int(primitive.maximum_length_received or 0),
            primitive=primitive,
        )
    except Exception as error:  # hostile bytes; that it cannot be read is all that matters
        raise PduError(
            f"The association request cannot be read ({type(error).__name__}).", INVALID_PARAMETER
        ) from error


def accept(proposal: Proposal, *, max_pdu_bytes: int) -> tuple[dict[int, Context], bytes]:
    """Judge the presentation contexts and write the A-ASSOCIATE-AC.

    Parameters
    ----------
    max_pdu_bytes : int
        What we take.

    Returns
    -------
    dict
        Accepted contexts by their id.
    bytes
        The PDU.
    """
    accepted: dict[int, Context] = {}
    results = []
    for asked in proposal.primitive.presentation_context_definition_list:
        abstract = str(asked.abstract_syntax)
        told = PresentationContext()
        told.context_id = asked.context_id
        told.transfer_syntax = [asked.transfer_syntax[0]]
        if abstract not in (VERIFICATION, COMMITMENT) and not is_storage(abstract):
            told.result = NO_ABSTRACT
        elif (chosen := choose_syntax(abstract, list(map(str, asked.transfer_syntax)))) is None:
            told.result = NO_TRANSFER
        else:
            told.result = ACCEPTED
            told.transfer_syntax = [chosen]
            accepted[asked.context_id or 0] = Context(abstract, chosen)
        results.append(told)
    answer = A_ASSOCIATE()
    answer.application_context_name = APPLICATION_CONTEXT
    answer.calling_ae_title = proposal.primitive.calling_ae_title
    answer.called_ae_title = proposal.primitive.called_ae_title
    answer.result, answer.result_source = 0, 1
    answer.presentation_context_definition_results_list = results
    answer.user_information = [*_ourselves(max_pdu_bytes), *_roles(proposal, accepted)]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    return accepted, bytes(pdu.encode())


def _ourselves(max_pdu_bytes: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    name = ImplementationVersionNameNotification()
    name.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, class_uid, name]


def _roles(proposal: Proposal, accepted: Mapping[int, Context]) -> list[Any]:
    """Answer role selections: the requestor is SCU, we are SCP, whatever is asked for."""
    known = {context.abstract_syntax for context in accepted.values()}
    answers: list[Any] = []
    for item in proposal.primitive.user_information:
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.sop_class_uid in known:
            role = SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid = item.sop_class_uid
            role.scu_role, role.scp_role = bool(item.scu_role), False
            answers.append(role)
    return answers
