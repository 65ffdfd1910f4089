"""Answer prompts: from extreme points, boxes, masks and clicks to a mask."""
