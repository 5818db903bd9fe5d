"""The kinds of proxy steps; importing a module here registers its kinds.

Help texts list the kinds in the order of these lines.
"""

# isort: off
from nastransfer_nni.proxy.kinds import all_images as all_images
from nastransfer_nni.proxy.kinds import classes as classes
from nastransfer_nni.proxy.kinds import images as images
from nastransfer_nni.proxy.kinds import balanced as balanced
from nastransfer_nni.proxy.kinds import indices as indices
from nastransfer_nni.proxy.kinds import frequency as frequency
from nastransfer_nni.proxy.kinds import entropy as entropy
from nastransfer_nni.proxy.kinds import hardness as hardness
from nastransfer_nni.proxy.kinds import coverage as coverage
from nastransfer_nni.proxy.kinds import moderate as moderate
from nastransfer_nni.proxy.kinds import features as features
from nastransfer_nni.proxy.kinds import cluster as cluster
from nastransfer_nni.proxy.kinds import resolution as resolution
from nastransfer_nni.proxy.kinds import content as content
