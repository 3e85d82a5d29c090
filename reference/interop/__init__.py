"""Decision processes of other libraries and of data: one module for each format.

    format                            from it                              to it                 it has no place for
    Gymnasium's toy text, `P[s][a]`   from_gymnasium, from_gymnasium_table to_gymnasium_table    discount, initial, grid
    QuantEcon's `DiscreteDP`          from_quantecon                       to_quantecon          initial, grid
    UMB, the model checkers' binary   read_umb                             write_umb
    Storm's models, PRISM's language  from_storm, read_prism               (through UMB)         discount, grid
    logged transitions                from_transitions, from_steps

`MDP.save` and `MDP.load` are the format of the house. No other carries the rows of unavailable pairs, which enter no
result, or tells dense from CSR: a small process comes back dense, a large one as CSR. All else comes back bit for bit.
"""

from reference.interop.logs import LoggedMDP as LoggedMDP
from reference.interop.logs import from_steps as from_steps
from reference.interop.logs import from_transitions as from_transitions
from reference.interop.quantecon import from_quantecon as from_quantecon
from reference.interop.quantecon import to_quantecon as to_quantecon
from reference.interop.storm import from_storm as from_storm
from reference.interop.storm import read_prism as read_prism
from reference.interop.toy_text import from_gymnasium as from_gymnasium
from reference.interop.toy_text import from_gymnasium_table as from_gymnasium_table
from reference.interop.toy_text import to_gymnasium_table as to_gymnasium_table
from reference.interop.umb import read_umb as read_umb
from reference.interop.umb import write_umb as write_umb
