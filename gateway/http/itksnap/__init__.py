"""The protocol of ITK-SNAP's deep learning extension (itksnap-dls 0.1.6), as ITK-SNAP 4.4 and later speak it.

Read in its sources: github.com/pyushkevich/itksnap at b107ab02, ``GUI/Model/DeepLearningSegmentationModel.cxx`` and
``Logic/WorkspaceAPI/RESTClient.cxx``; and itksnap-dls 0.1.6 on PyPI, ``server.py``.
"""

from gateway.http.itksnap.door import itksnap_door

__all__ = ["itksnap_door"]
