"""The registered models, one noun a file; the registry finds them here.

Every network written here is `nn.Sequential(features=nn.Sequential(unit, unit, ...), head=...)`: `features` are its
ordered units (a convolution with its normalisation, nonlinearity and pooling; a whole residual block), each of which
reads only the output of the one before it. So a network can be cut after any unit.
"""
